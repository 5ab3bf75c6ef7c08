package diskbuffer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAFullBufferHoldsTheInnerInput(t *testing.T) {
	s := newSource()
	r := newRig(t, s, t.TempDir(), "max_bytes: 1MiB").open()
	const messages = 40
	for i := range messages {
		s.send(fmt.Sprintf("%02d%099998d", i, 0))
	}
	require.Eventually(t, func() bool { return !r.in.buffer.Stats().Full.IsZero() }, patience, time.Millisecond)
	acked, _ := s.answered()
	assert.Less(t, len(acked), 11)
	assert.LessOrEqual(t, sizeOf(t, r.in.conf.path), int64(1<<20+4096))
	for i, text := range r.take(messages) {
		require.Equal(t, fmt.Sprintf("%02d", i), text[:2])
	}
	assert.Zero(t, r.in.buffer.Stats().Dropped)
}

func TestAFullBufferMayDropTheOldest(t *testing.T) {
	s := newSource()
	r := newRig(t, s, t.TempDir(), "max_bytes: 1MiB", "on_full: drop_oldest").open()
	const messages = 40
	for i := range messages {
		s.send(fmt.Sprintf("%02d%099998d", i, 0))
	}
	require.Eventually(t, func() bool { acked, _ := s.answered(); return len(acked) == messages }, patience, time.Millisecond)
	stats := r.in.buffer.Stats()
	left := messages - int(stats.Dropped)
	assert.Equal(t, left, int(stats.Messages))
	assert.Less(t, left, 11)
	for i, text := range r.take(left) {
		require.Equal(t, fmt.Sprintf("%02d", messages-left+i), text[:2])
	}
}

// The pipeline has a message and rejects it after it was dropped.
func TestAMessageThatWasDroppedAndThenRejectedIsCounted(t *testing.T) {
	s := newSource()
	r := newRig(t, s, t.TempDir(), "max_bytes: 1MiB", "on_full: drop_oldest", "max_batch_messages: 1").open()
	const messages = 40
	send := func(i int) { s.send(fmt.Sprintf("%02d%099998d", i, 0)) }
	send(0)
	_, ack := r.read()
	for i := range messages - 1 {
		send(1 + i)
	}
	require.Eventually(t, func() bool { acked, _ := s.answered(); return len(acked) == messages }, patience, time.Millisecond)
	require.NoError(t, ack(context.Background(), assert.AnError))
	left := int(r.in.buffer.Stats().Messages)
	for i, text := range r.take(left) {
		require.Equal(t, fmt.Sprintf("%02d", messages-left+i), text[:2])
	}
	assert.Equal(t, messages-left, int(r.in.buffer.Stats().Dropped))
}

func TestOldMessagesAreDroppedAndCounted(t *testing.T) {
	s := newSource()
	r := newRig(t, s, t.TempDir(), "max_age: 1h").open()
	old := service.NewMessage([]byte("old"))
	old.MetaSetMut("mqtt_timestamp_ms", time.Now().Add(-61*time.Minute).UnixMilli())
	s.batches <- service.MessageBatch{old, service.NewMessage([]byte("new"))}
	assert.Equal(t, []string{"new"}, r.take(1))
	assert.Equal(t, uint64(1), r.in.buffer.Stats().Dropped)
}

func TestValuesOutOfRangeAreRefused(t *testing.T) {
	for field, want := range map[string]string{
		"max_bytes: 1KiB":       `field max_bytes: "1KiB" is out of range; must be 1048576 to`,
		"max_bytes: much":       `field max_bytes: "much" is not a size`,
		"max_age: -1s":          `field max_age: "-1s" is negative`,
		"on_full: explode":      `field on_full: value "explode" is unknown; must be one of block, drop_oldest`,
		"sync: never":           `field sync: value "never" is unknown; must be one of always, interval`,
		"sync_interval: 0s":     `field sync_interval: "0s" is out of range`,
		"max_batch_messages: 0": `field max_batch_messages: 0 is out of range`,
		"max_batch_bytes: 0":    `field max_batch_bytes: "0" is out of range`,
		"path: ''":              `field path: is empty; give the directory of the buffer`,
	} {
		text := "input: { generate: { mapping: 'root = 1' } }\npath: /nowhere\n"
		if field == "path: ''" {
			text = "input: { generate: { mapping: 'root = 1' } }\n"
		}
		conf, err := Spec().ParseYAML(text+field, nil)
		require.NoError(t, err)
		_, err = parseConfig(conf)
		assert.ErrorContains(t, err, want)
	}
}

func sizeOf(t *testing.T, path string) (size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path, "*.segment"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		info, err := os.Stat(name)
		require.NoError(t, err)
		size += info.Size()
	}
	return size
}
