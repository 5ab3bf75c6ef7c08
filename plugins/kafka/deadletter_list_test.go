package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
)

// lettersOf are the letters of a connector of the topic dead.
func lettersOf(t testing.TB, brokers []string, source string, lines ...string) *Letters {
	t.Helper()
	return &Letters{conf: parsed(t, brokers, append(lines, deadLetter)...), source: source}
}

// writeLetters writes dead letters as the output of a connector does. Their values are
// numbers from first on, their keys five in turn, and they are a second apart.
func writeLetters(t testing.TB, brokers []string, source string, first, n int, change ...func(*kgo.Record)) {
	t.Helper()
	writeLettersTo(t, brokers, "dead", source, first, n, change...)
}

func writeLettersTo(t testing.TB, brokers []string, topic, source string, first, n int, change ...func(*kgo.Record)) {
	t.Helper()
	dead := &deadLetters{topic: topic, source: source}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	require.NoError(t, err)
	defer client.Close()
	var letters []*kgo.Record
	for i := first; i < first+n; i++ {
		record := &kgo.Record{
			Topic: "t", Partition: 0, Key: []byte("key " + strconv.Itoa(i%5)), Value: fmt.Appendf(nil, "%06d", i),
			Timestamp: time.Unix(1700000000+int64(i), 0),
			Headers:   []kgo.RecordHeader{{Key: "colour", Value: []byte("red")}, {Key: "bytes", Value: []byte{0xff}}},
		}
		for _, c := range change {
			c(record)
		}
		letter := dead.record(record, kerr.MessageTooLarge)
		letters = append(letters, &letter)
	}
	require.NoError(t, client.ProduceSync(t.Context(), letters...).FirstErr())
}

func listed(letters []Letter) (values []string) {
	for _, l := range letters {
		values = append(values, string(l.Value.Data))
	}
	return values
}

func withDead(t testing.TB, partitions int32, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	return cluster(t, 1, append(opts, kfake.SeedTopics(partitions, "dead"))...)
}

func TestALetterIsListedWithWhatItWasAndWhyItWasRefused(t *testing.T) {
	c := withDead(t, 1)
	o := started(t, c.ListenAddrs(), deadLetter, "compression: none", "metadata: { include_patterns: [ '.*' ] }", `key: ${! @mqtt_topic }`)
	setLimit(t, c, "t", "2000")
	large := strings.Repeat("x", 5000)
	msg := mqttMessage(large)
	msg.MetaSetMut("colour", "red")
	require.NoError(t, o.WriteBatch(t.Context(), service.MessageBatch{mqttMessage("small"), msg}))

	page, err := lettersOf(t, c.ListenAddrs(), "kafka_franz").List(t.Context(), LetterQuery{})
	require.NoError(t, err)
	assert.Equal(t, "dead", page.TopicName)
	assert.Empty(t, page.Next)
	assert.Empty(t, page.Note)
	require.Len(t, page.Letters, 1)
	letter := page.Letters[0]
	assert.Equal(t, LetterID{0, 0}, letter.LetterID)
	assert.WithinDuration(t, time.Now(), letter.Time, time.Minute)
	assert.Contains(t, letter.Reason, "MESSAGE_TOO_LARGE")
	assert.Equal(t, "org.apache.kafka.common.errors.RecordTooLargeException", letter.Class)
	assert.Equal(t, "KAFKA_PRODUCE", letter.Stage)
	assert.Equal(t, "t", letter.Topic)
	assert.Equal(t, excerpt.Of([]byte("sensors/1")), letter.Key)
	assert.Len(t, letter.Value.Data, excerpt.Max)
	assert.Equal(t, 5000, letter.Value.Size)
	assert.Contains(t, letter.Headers, LetterHeader{"colour", excerpt.Of([]byte("red"))})
	for _, h := range letter.Headers {
		assert.NotContains(t, h.Key, letterPrefix)
	}
	assert.Zero(t, letter.Omitted)
	assert.True(t, letter.Replayed.IsZero())
}

func TestLettersArePagedNewestOrOldestFirstOverAllPartitions(t *testing.T) {
	c := withDead(t, 3)
	writeLetters(t, c.ListenAddrs(), "a", 0, 25)
	writeLetters(t, c.ListenAddrs(), "b", 100, 30) // of another connector
	writeLetters(t, c.ListenAddrs(), "a", 25, 5)
	for _, oldest := range []bool{true, false} {
		want := numbers(0, 30)
		if !oldest {
			for i := range 15 {
				want[i], want[29-i] = want[29-i], want[i]
			}
		}
		l := lettersOf(t, c.ListenAddrs(), "a")
		page, err := l.List(t.Context(), LetterQuery{Limit: MaxLetters, Oldest: oldest})
		require.NoError(t, err)
		assert.Equal(t, want, listed(page.Letters), "oldest %v", oldest)

		var got []string
		query := LetterQuery{Limit: 7, Oldest: oldest}
		for range 10 {
			page, err := l.List(t.Context(), query)
			require.NoError(t, err)
			assert.LessOrEqual(t, len(page.Letters), 7)
			got = append(got, listed(page.Letters)...)
			if query.Cursor = page.Next; query.Cursor == "" {
				break
			}
		}
		assert.Empty(t, query.Cursor)
		assert.Equal(t, want, got, "oldest %v", oldest)
	}
}

// Most of a shared topic may belong to others: windows without a letter of ours are read
// through.
func TestFewLettersAmongManyOfOthersAreFound(t *testing.T) {
	c := withDead(t, 1)
	writeLetters(t, c.ListenAddrs(), "a", 0, 2)
	writeLetters(t, c.ListenAddrs(), "b", 0, 700)
	writeLetters(t, c.ListenAddrs(), "a", 2, 1)
	writeLetters(t, c.ListenAddrs(), "b", 0, 300)
	l := lettersOf(t, c.ListenAddrs(), "a")
	for _, oldest := range []bool{true, false} {
		page, err := l.List(t.Context(), LetterQuery{Limit: 5, Oldest: oldest})
		require.NoError(t, err)
		assert.ElementsMatch(t, numbers(0, 3), listed(page.Letters))
		assert.Empty(t, page.Next)
	}
}

func TestLettersThatCannotBeListedSayWhy(t *testing.T) {
	c := cluster(t, 1)
	l := lettersOf(t, c.ListenAddrs(), "a")
	page, err := l.List(t.Context(), LetterQuery{})
	require.NoError(t, err, "there was no letter yet")
	assert.Equal(t, LetterPage{TopicName: "dead", Letters: []Letter{}}, page)

	for cursor, want := range map[string]string{
		"oldest_0-1":  `"oldest_0-1" does not begin with newest: take the member next of the page before, with the same order`,
		"newest_0":    `"0" is not a partition and an offset`,
		"newest_0--1": `"0--1" is not a partition and an offset`,
		"x":           `"x" does not begin with newest`,
	} {
		_, err := l.List(t.Context(), LetterQuery{Cursor: cursor})
		require.ErrorAs(t, err, new(*CursorError), cursor)
		require.ErrorContains(t, err, want)
	}

	block := &Letters{conf: parsed(t, c.ListenAddrs(), block()...), source: "a"}
	_, err = block.List(t.Context(), LetterQuery{})
	require.ErrorAs(t, err, new(*LetterError))
	require.EqualError(t, err, "its failure_strategy is block, which writes no dead letters: dead_message_queue does")

	away := lettersOf(t, []string{"127.0.0.1:1"}, "a")
	_, err = away.List(t.Context(), LetterQuery{})
	require.ErrorAs(t, err, new(*LetterError))
	require.ErrorContains(t, err, "reaching Kafka at 127.0.0.1:1: ")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.List(ctx, LetterQuery{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestManyHeadersOfALetterAreCounted(t *testing.T) {
	c := withDead(t, 1)
	writeLetters(t, c.ListenAddrs(), "a", 0, 1, func(r *kgo.Record) {
		r.Headers = nil
		for i := range maxHeaders + 10 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: strconv.Itoa(i), Value: []byte(strings.Repeat("v", 5000))})
		}
	})
	page, err := lettersOf(t, c.ListenAddrs(), "a").List(t.Context(), LetterQuery{})
	require.NoError(t, err)
	assert.Len(t, page.Letters[0].Headers, maxHeaders)
	assert.Equal(t, 10, page.Letters[0].Omitted)
	assert.Len(t, page.Letters[0].Headers[0].Value.Data, 1024)
}
