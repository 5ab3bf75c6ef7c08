package supervisor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/plugins/internal/backlog"
)

// bufferRig is a service with disk buffers, whose Kafka is away.
func bufferRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := newRig(t, func(o *Options) {
		o.BufferDir, o.DrainTimeout = dir, 500*time.Millisecond
	})
	r.kafka.Close()
	return r
}

const withBuffer = `,"disk_buffer":{}`

func (r *rig) startKafka() {
	r.t.Helper()
	kafka, err := embedded.StartKafka(r.kafka.Addr())
	require.NoError(r.t, err)
	r.kafka = kafka
	r.t.Cleanup(func() { kafka.Close() })
}

// buffering creates a connector with a disk buffer, and waits until it is subscribed.
func (r *rig) buffering(name string) {
	r.t.Helper()
	r.create(r.conn(name, "in/#", "out", withBuffer))
	require.Eventually(r.t, func() bool {
		state, ok := r.backlogOf(name)
		return ok && state.Up
	}, patience, 10*time.Millisecond, "%s", r.logs)
}

// onDisk waits until so many messages of a running connector are in its buffer.
func (r *rig) onDisk(name string, n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		state, ok := r.backlogOf(name)
		return ok && int(state.Messages) == n
	}, patience, 10*time.Millisecond, "%s", r.logs)
}

func (r *rig) backlogOf(name string) (backlog.State, bool) {
	r.mu.Lock()
	run := r.entries[name].run
	r.mu.Unlock()
	if run == nil {
		return backlog.State{}, false
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.stream == nil {
		return backlog.State{}, false
	}
	return run.stream.backlog.State()
}

// payloads are those of n records of a topic, in their order.
func (r *rig) payloads(topic string, n int) (all []string) {
	r.t.Helper()
	for _, record := range r.records(topic, n) {
		var envelope struct{ Payload []byte }
		require.NoError(r.t, json.Unmarshal(record.Value, &envelope))
		all = append(all, string(envelope.Payload))
	}
	return all
}

func TestABufferKeepsWhatKafkaHasNotGotOverAPauseAndARestart(t *testing.T) {
	r := bufferRig(t)
	r.buffering("c")
	r.publish("in/a", numbered(0, 10)...)
	r.onDisk("c", 10)
	shows := func(messages int64) {
		t.Helper()
		b := r.List()[0].Buffer
		require.NotNil(t, b)
		assert.Equal(t, messages, b.Messages)
		assert.Positive(t, b.Bytes)
		assert.Positive(t, b.Oldest)
	}
	require.Eventually(t, func() bool { b := r.List()[0].Buffer; return b != nil && b.Oldest > 0 }, patience, 10*time.Millisecond)
	shows(10)
	assert.Equal(t, int64(1<<30), r.List()[0].Buffer.MaxBytes)
	metrics := r.scrape()
	for _, name := range []string{"bytes", "messages", "oldest_seconds", "full", "failing", "dropped", "corrupt"} {
		assert.Regexp(t, `(?m)^disk_buffer_`+name+`\{connector="c"[,}]`, metrics, "dashboards and alerts ask for it")
	}
	require.NoError(t, r.Pause(t.Context(), "c"))
	shows(10)
	r.stopService()
	r.start()
	shows(10)
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.publish("in/a", numbered(10, 20)...)
	r.onDisk("c", 20)
	r.stopService()
	r.startKafka()
	r.start()
	r.publish("in/a", numbered(20, 30)...)
	// This broker keeps no order of what it keeps for a client that is away.
	all := r.payloads("out", 30)
	assert.Equal(t, numbered(0, 10), all[:10])
	assert.ElementsMatch(t, numbered(10, 20), all[10:20])
	assert.ElementsMatch(t, numbered(20, 30), all[20:])
	r.onDisk("c", 0)
}

func TestAConnectorWithMessagesOnDiskIsDeletedOnlyIfTheyAreDeliveredOrDiscarded(t *testing.T) {
	r := bufferRig(t)
	path := r.buffers.path("c")
	r.buffering("c")
	r.publish("in/a", numbered(0, 10)...)
	r.onDisk("c", 10)
	_, err := r.Delete(t.Context(), "c")
	require.ErrorContains(t, err, `deleting "c": 10 messages wait in its disk buffer that Kafka has not got within 500ms; nothing was deleted; delete it when they are delivered, or with discard_waiting to discard them`)

	// It runs on, and a paused one may be deleted as well.
	r.publish("in/a", "10")
	r.onDisk("c", 11)
	require.NoError(t, r.Pause(t.Context(), "c"))
	_, err = r.Delete(t.Context(), "c")
	require.ErrorContains(t, err, "11 messages wait in its disk buffer")
	assert.Equal(t, connector.Paused, r.List()[0].State)
	r.opts.DrainTimeout = patience
	r.Supervisor.opts.DrainTimeout = patience
	r.startKafka()
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	assert.Equal(t, numbered(0, 11), r.payloads("out", 11))
	assert.NoDirExists(t, path)

	r.kafka.Close()
	r.Supervisor.opts.DrainTimeout = 500 * time.Millisecond
	r.buffering("c")
	r.publish("in/a", "discarded")
	r.onDisk("c", 1)
	_, err = r.Supervisor.Delete(t.Context(), "c", connector.DeleteOptions{DiscardWaiting: true})
	require.NoError(t, err)
	assert.NoDirExists(t, path)
	left, err := os.ReadDir(r.opts.BufferDir)
	require.NoError(t, err)
	assert.Len(t, left, 1, "the lock")
}

// The definition without a buffer would overtake what is in it.
func TestAnUpdateThatRemovesTheBufferDeliversWhatIsInItFirst(t *testing.T) {
	r := bufferRig(t)
	path := r.buffers.path("c")
	r.buffering("c")
	r.publish("in/a", numbered(0, 10)...)
	r.onDisk("c", 10)
	r.update(r.conn("c", "in/#", "out", ""), connector.UpdateOptions{})
	r.until("c", func(s connector.Status) bool {
		return s.State == connector.Waiting && len(s.Waits) > 0 && s.Waits[0].For == connector.NeedUpdate
	})
	r.publish("in/a", numbered(10, 20)...) // the broker keeps them
	r.stopService()
	r.start()
	r.startKafka()
	all := r.payloads("out", 20)
	assert.Equal(t, numbered(0, 10), all[:10])
	assert.ElementsMatch(t, numbered(10, 20), all[10:], "this broker keeps no order")
	r.ready("c")
	assert.NoDirExists(t, path)
}

// The session that an update gives up is read through the buffer, behind what is in it.
func TestAnUpdateOfTheFilterKeepsTheOrderOfWhatIsInTheBuffer(t *testing.T) {
	r := bufferRig(t)
	r.quiet, r.redelivery, r.settled = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	r.buffering("c")
	r.publish("in/a", numbered(0, 10)...)
	r.onDisk("c", 10)
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", numbered(10, 20)...)
	r.update(r.conn("c", "in/a", "out", `,"disk_buffer":{"max_bytes":"1MiB"}`), connector.UpdateOptions{})
	r.startKafka()
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	r.publish("in/a", "last")
	all := r.payloads("out", 21)
	assert.Equal(t, numbered(0, 10), all[:10])
	assert.ElementsMatch(t, numbered(10, 20), all[10:20], "this broker keeps no order")
	assert.Equal(t, "last", all[20])
}

func TestABufferHidesNeitherTheBrokerNorItsDisk(t *testing.T) {
	r := bufferRig(t)
	r.buffering("c")
	r.publish("in/a", "1")
	r.onDisk("c", 1)
	r.broker.Close()
	needs := func(want ...connector.Need) {
		t.Helper()
		r.until("c", func(s connector.Status) bool {
			var got []connector.Need
			for _, w := range s.Waits {
				got = append(got, w.For)
			}
			return assert.ObjectsAreEqual(want, got)
		})
	}
	needs(connector.NeedBroker, connector.NeedKafka)
	r.startKafka()
	needs(connector.NeedBroker)

	require.NoError(t, r.Pause(t.Context(), "c"))
	path := r.buffers.path("c")
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, r.Resume(t.Context(), "c"))
	needs(connector.NeedBuffer)
	require.ErrorContains(t, r.ConnectorsReady(), `"c": waiting for its disk buffer since `)
	require.ErrorContains(t, r.ConnectorsReady(), "opening the disk buffer: creating the directory of the buffer: ")
}

func TestABufferThatIsFullOrFailsIsWhatTheConnectorWaitsFor(t *testing.T) {
	long := time.Now().Add(-backlog.FullAfter - time.Second)
	for want, state := range map[string]backlog.State{
		"": {Full: time.Now()},
		"it is full with 7 messages in 2.0 MiB, so the broker is not read until Kafka takes them: give it a larger max_bytes, or see why Kafka takes them slowly": {Full: long, Messages: 7, Bytes: 2 << 20},
		"no space": {Full: long, Failure: errors.New("no space")},
	} {
		assert.Equal(t, want, lackingOf(state))
	}
}

func TestABufferThatTheServiceDoesNotAllowIsRefused(t *testing.T) {
	r := newRig(t, func(o *Options) { o.BufferDir, o.MaxBufferBytes = t.TempDir(), 1<<30 })
	for buffer, want := range map[string]string{
		`{"max_bytes":"2GiB"}`:  `config.disk_buffer.max_bytes: "2GiB" is more than the service's --max-buffer-bytes, 1.0 GiB: give less, or nothing`,
		`{"max_bytes":"1KiB"}`:  `config.disk_buffer.max_bytes: "1KiB" is out of range`,
		`{"max_bytes":"much"}`:  `config.disk_buffer.max_bytes: "much" is not a size`,
		`{"max_age":"soon"}`:    `config.disk_buffer.max_age: "soon" is not a duration`,
		`{"on_full":"explode"}`: `config.disk_buffer.on_full: value "explode" is unknown`,
		`{"sync":"often"}`:      `config.disk_buffer.sync: value "often" is unknown`,
	} {
		_, err := r.Create(t.Context(), r.conn("c", "in/#", "out", `,"disk_buffer":`+buffer), connector.CreateOptions{})
		var invalid *connector.InvalidError
		require.ErrorAs(t, err, &invalid, buffer)
		require.ErrorContains(t, err, want)
	}
	_, err := r.Check(t.Context(), r.conn("c", "in/#", "out", withBuffer))
	require.NoError(t, err)
	assert.NoDirExists(t, r.buffers.path("c"))

	r = newRig(t)
	_, err = r.Create(t.Context(), r.conn("c", "in/#", "out", withBuffer), connector.CreateOptions{})
	require.ErrorContains(t, err, "config.disk_buffer: this service keeps no disk buffers, because its store is in Kafka")
}

func TestAnObjectIsADiskBufferAndNullIsNone(t *testing.T) {
	r := newRig(t, func(o *Options) { o.BufferDir = t.TempDir() })
	for buffer, is := range map[string]bool{`{}`: true, `{"max_age":"1h"}`: true, `null`: false} {
		_, err := r.Create(t.Context(), r.conn("c"+buffer, "in/#", "out", `,"disk_buffer":`+buffer), connector.CreateOptions{Paused: true})
		require.NoError(t, err)
		status, _, err := r.Detail("c" + buffer)
		require.NoError(t, err)
		assert.Equal(t, is, status.Buffer != nil, buffer)
	}
}

func TestADirectoryOfBuffersIsForOneService(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*")
	first, err := openBuffers(dir, 1<<30)
	require.NoError(t, err)
	_, err = openBuffers(dir, 1<<30)
	require.ErrorContains(t, err, "another service uses "+dir+": stop that one, or give this one its own --buffer-dir")

	// What a crash left of a removal is removed.
	require.NoError(t, os.MkdirAll(first.path("c"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(first.path("c"), "00000000000000000001.segment"), nil, 0o600))
	assert.True(t, first.holds("c"))
	assert.False(t, first.holds("d"))
	restore, _, err := first.putAway("c")
	require.NoError(t, err)
	assert.False(t, first.holds("c"))
	restore()
	assert.True(t, first.holds("c"))
	_, _, err = first.putAway("c")
	require.NoError(t, err)
	require.NoError(t, first.Close())
	again, err := openBuffers(dir, 1<<30)
	require.NoError(t, err)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 1)
	require.NoError(t, again.Close())
}
