package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const patience = 60 * time.Second

// reader is an input that a test drives as the engine does.
type reader struct {
	*input
	t testing.TB
}

func tryInput(brokers []string, lines ...string) (*inputConfig, error) {
	conf, err := parseLines(InputSpec(), brokers, append([]string{"consumer_group: g"}, lines...), "topics", "topics: [t]")
	if err != nil {
		return nil, err
	}
	return parseInput(conf)
}

func unconnectedReader(t testing.TB, brokers []string, lines ...string) reader {
	t.Helper()
	conf, err := tryInput(brokers, append([]string{"fetch_max_wait: 100ms", "heartbeat_interval: 100ms"}, lines...)...)
	require.NoError(t, err)
	i := newInput(conf, service.MockResources())
	i.pace.shortest, i.pace.longest, i.pace.refused = 20*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	t.Cleanup(func() { require.NoError(t, i.Close(context.Background())) })
	return reader{i, t}
}

func startReader(t testing.TB, brokers []string, lines ...string) reader {
	t.Helper()
	r := unconnectedReader(t, brokers, lines...)
	require.NoError(t, r.Connect(t.Context()))
	return r
}

// next returns the next batch.
func (r reader) next() (service.MessageBatch, service.AckFunc) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	batch, ack, err := r.ReadBatch(ctx)
	require.NoError(r.t, err)
	require.NotEmpty(r.t, batch)
	return batch, ack
}

// acked reads and acknowledges batches until it has n messages, and returns their
// texts.
func (r reader) acked(n int) (all []string) {
	r.t.Helper()
	for len(all) < n {
		batch, ack := r.next()
		all = append(all, texts(r.t, batch)...)
		require.NoError(r.t, ack(r.t.Context(), nil))
	}
	return all
}

// nothing checks that no batch comes for a while.
func (r reader) nothing(wait time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), wait)
	defer cancel()
	batch, _, err := r.ReadBatch(ctx)
	require.Empty(r.t, batch)
	require.ErrorIs(r.t, err, context.DeadlineExceeded)
}

func texts(t testing.TB, batch service.MessageBatch) (all []string) {
	t.Helper()
	for _, msg := range batch {
		text, err := msg.AsBytes()
		require.NoError(t, err)
		all = append(all, string(text))
	}
	return all
}

// produce writes the numbers from first to before end, by turns to the partitions.
func produce(t testing.TB, c *kfake.Cluster, topic string, partitions, first, end int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for i := first; i < end; i++ {
		r := &kgo.Record{
			Topic: topic, Partition: int32(i % partitions), Key: []byte("k"), Value: fmt.Appendf(nil, "%06d", i),
			Headers: []kgo.RecordHeader{{Key: "mqtt_topic", Value: []byte("a/b")}, {Key: "kafka_topic", Value: []byte("forged")}},
		}
		require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
	}
}

// committed returns the offset that the group has committed for a partition, -1 for
// none.
func committed(t testing.TB, c *kfake.Cluster, topic string, partition int32) int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	offsets, err := kadm.NewClient(client).FetchOffsets(t.Context(), "g")
	require.NoError(t, err)
	if o, ok := offsets.Lookup(topic, partition); ok {
		return o.At
	}
	return -1
}

func TestInputReadsInOrderAndCommitsWhatIsAcknowledged(t *testing.T) {
	c := cluster(t, 1)
	produce(t, c, "t", 1, 0, 10)
	r := startReader(t, c.ListenAddrs(), "commit_period: 20ms", "max_batch_messages: 4")
	batch, ack := r.next()
	require.Equal(t, numbers(0, 4), texts(t, batch))
	for name, want := range map[string]any{
		"kafka_topic": "t", "kafka_partition": 0, "kafka_offset": 0, "kafka_key": "k", "kafka_lag": int64(9),
		"kafka_tombstone_message": false, "mqtt_topic": "a/b",
	} {
		got, ok := batch[0].MetaGetImmut(name)
		require.True(t, ok, name)
		require.Equal(t, want, got, name)
	}
	r.nothing(200 * time.Millisecond) // one batch of the partition at a time
	require.EqualValues(t, -1, committed(t, c, "t", 0))
	require.NoError(t, ack(t.Context(), nil))
	require.Equal(t, numbers(4, 10), r.acked(6))
	require.Eventually(t, func() bool { return committed(t, c, "t", 0) == 10 }, patience, 10*time.Millisecond)
}

func TestInputHandsRejectedMessagesOverAgainFirst(t *testing.T) {
	c := cluster(t, 1)
	produce(t, c, "t", 1, 0, 10)
	r := startReader(t, c.ListenAddrs(), "commit_period: 20ms", "max_batch_messages: 4")
	batch, ack := r.next()
	refused := errors.New("refused")
	require.NoError(t, ack(t.Context(), service.NewBatchError(batch, refused).Failed(1, refused).Failed(2, refused)))
	for range 5 { // also beyond the attempts without a pause
		batch, ack = r.next()
		require.Equal(t, numbers(1, 3), texts(t, batch))
		require.NoError(t, ack(t.Context(), refused))
	}
	require.Eventually(t, func() bool { return committed(t, c, "t", 0) == 1 }, patience, 10*time.Millisecond)
	require.Equal(t, numbers(1, 3), r.acked(2))
	require.Equal(t, numbers(4, 10), r.acked(6))
	require.NoError(t, ack(t.Context(), refused), "a second answer does nothing")
	require.Eventually(t, func() bool { return committed(t, c, "t", 0) == 10 }, patience, 10*time.Millisecond)
	r.nothing(100 * time.Millisecond)
}

func TestInputCommitsAtItsCloseAndContinuesThere(t *testing.T) {
	c := cluster(t, 1)
	produce(t, c, "t", 1, 0, 10)
	first := startReader(t, c.ListenAddrs(), "commit_period: 1h", "max_batch_messages: 4")
	require.Equal(t, numbers(0, 4), first.acked(4))
	_, ack := first.next() // in flight
	require.NoError(t, first.Close(t.Context()))
	require.NoError(t, ack(t.Context(), nil), "too late")
	_, _, err := first.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrEndOfInput)
	require.EqualValues(t, 4, committed(t, c, "t", 0))
	second := startReader(t, c.ListenAddrs())
	require.Equal(t, numbers(4, 10), second.acked(6))
}

// The first member has records of both partitions in flight when a second one joins. It
// gives a partition up only when they are acknowledged, so that nothing is delivered
// twice, and nothing at the same time.
func TestInputGivesAPartitionUpOnceWhatIsInFlightIsAcknowledged(t *testing.T) {
	c := cluster(t, 2)
	produce(t, c, "t", 2, 0, 20)
	first := startReader(t, c.ListenAddrs(), "commit_period: 1h")
	held := map[string]bool{}
	var acks []service.AckFunc
	for len(held) < 20 {
		batch, ack := first.next()
		for _, text := range texts(t, batch) {
			held[text] = true
		}
		acks = append(acks, ack)
	}
	second := startReader(t, c.ListenAddrs(), "commit_period: 1h")
	// Revocation has begun when the first member drops what it fetched.
	require.Eventually(t, func() bool { return first.isEnding() }, patience, 10*time.Millisecond)
	produce(t, c, "t", 2, 20, 40)
	second.nothing(500 * time.Millisecond)
	for _, ack := range acks {
		require.NoError(t, ack(t.Context(), nil))
	}
	got := make(chan string, 100)
	for _, r := range []reader{first, second} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				batch, ack, err := r.ReadBatch(ctx)
				if err != nil {
					return
				}
				for _, msg := range batch {
					text, _ := msg.AsBytes()
					got <- string(text)
				}
				_ = ack(ctx, nil)
			}
		}()
		t.Cleanup(func() { cancel(); <-done })
	}
	last := map[bool]string{} // by partition
	for range 20 {
		select {
		case text := <-got:
			require.False(t, held[text], "%s was delivered twice", text)
			odd := text[5]%2 == 1
			require.Greater(t, text, last[odd], "out of order")
			last[odd] = text
		case <-time.After(patience):
			t.Fatal("messages are missing")
		}
	}
}

func (i *input) isEnding() bool {
	i.parts.mu.Lock()
	defer i.parts.mu.Unlock()
	for _, part := range i.parts.inOrder {
		if part.ending {
			return true
		}
	}
	return false
}

// An output that does not acknowledge holds a rebalance up for a bounded time. The new
// owner then delivers from the first record that is not acknowledged, and the late
// acknowledgement of the former owner commits nothing.
func TestInputGivesAPartitionUpAfterABoundedTime(t *testing.T) {
	c := cluster(t, 1)
	produce(t, c, "t", 1, 0, 10)
	first := startReader(t, c.ListenAddrs(), "commit_period: 20ms", "rebalance_timeout: 2s")
	_, ack := first.next()
	m := first.member
	began := time.Now()
	m.revoked(t.Context(), []partitionName{{"t", 0}})
	require.GreaterOrEqual(t, time.Since(began), 1500*time.Millisecond)
	require.NoError(t, ack(t.Context(), nil))
	m.commitAcked(t.Context())
	require.EqualValues(t, -1, committed(t, c, "t", 0))
	require.NoError(t, first.Close(t.Context()))
	second := startReader(t, c.ListenAddrs())
	require.Equal(t, numbers(0, 10), second.acked(10))
}

func TestInputForgetsWhatItLost(t *testing.T) {
	c := cluster(t, 1)
	produce(t, c, "t", 1, 0, 10)
	r := startReader(t, c.ListenAddrs(), "commit_period: 20ms", "max_batch_messages: 4")
	_, ack := r.next()
	r.member.committing.Lock()
	lost := make(chan struct{})
	go func() { defer close(lost); r.member.lost([]partitionName{{"t", 0}}) }()
	require.Eventually(t, r.isEnding, patience, time.Millisecond)
	select {
	case <-lost:
		require.Fail(t, "the member joins again while a commit is on its way")
	case <-time.After(20 * time.Millisecond):
	}
	r.member.committing.Unlock()
	<-lost
	require.NoError(t, ack(t.Context(), errors.New("refused")))
	r.nothing(200 * time.Millisecond)
	require.EqualValues(t, -1, committed(t, c, "t", 0))
}

func TestInputIsNotReadyUntilItsTopicExists(t *testing.T) {
	c := cluster(t, 1)
	r := unconnectedReader(t, c.ListenAddrs(), "topics: [ t, later ]")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorContains(t, r.Connect(ctx), `topic "later": the topic does not exist: create it`)
	require.Error(t, r.ConnectionTest(ctx)[0].Err)
	createTopic(t, c, "later")
	require.Eventually(t, func() bool { return r.Connect(ctx) == nil }, patience, 10*time.Millisecond)
	produce(t, c, "later", 1, 0, 3)
	require.Equal(t, numbers(0, 3), r.acked(3))
}

func TestInputReadsTheTopicsOfAPattern(t *testing.T) {
	c := cluster(t, 1, kfake.SeedTopics(1, "mqtt_a", "mqtt_b", "mqtt_no"))
	for i, topic := range []string{"mqtt_a", "mqtt_b", "mqtt_no", "t"} {
		produce(t, c, topic, 1, i, i+1)
	}
	r := startReader(t, c.ListenAddrs(), `regexp_topics_include: [ "^mqtt_" ]`, `regexp_topics_exclude: [ "no$" ]`)
	require.ElementsMatch(t, numbers(0, 2), r.acked(2))
	r.nothing(300 * time.Millisecond)
}

func TestInputNoticesThatKafkaIsAway(t *testing.T) {
	c := cluster(t, 1)
	brokers := c.ListenAddrs()
	r := unconnectedReader(t, brokers)
	r.silence, r.patience = 100*time.Millisecond, time.Second
	require.NoError(t, r.Connect(t.Context()))
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := r.ReadBatch(ctx)
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.ErrorContains(t, r.Connect(ctx), "reaching Kafka at "+brokers[0])
}

func TestInputRefusesWrongFields(t *testing.T) {
	for line, want := range map[string]string{
		"topics: []":                        "field topics: is missing: give the topics to read",
		"topics: [ a/b ]":                   `the topic "a/b" has a character that Kafka does not allow`,
		"regexp_topics_exclude: [ a ]":      "regexp_topics_exclude: needs regexp_topics_include",
		`regexp_topics_include: [ "(" ]`:    "regexp_topics_include: \"(\" is not a regular expression: missing closing )",
		"consumer_group: \"\"":              "consumer_group: is empty",
		"start_offset: newest":              "start_offset",
		"session_timeout: 2s":               "heartbeat_interval: 3s is more than a third of session_timeout, 2s",
		"commit_period: soon":               `commit_period: "soon" is not a duration`,
		"max_batch_messages: 0":             "max_batch_messages: 0 is out of range",
		"max_batch_bytes: many":             `max_batch_bytes: "many" is not a size`,
		"transaction_isolation_level: none": "transaction_isolation_level",
	} {
		text := "seed_brokers: [ k:1 ]\n"
		if !strings.HasPrefix(line, "consumer_group") {
			text += "consumer_group: g\n"
		}
		if !strings.Contains(line, "topics:") && !strings.Contains(line, "include") {
			text += "topics: [t]\n"
		}
		conf, err := InputSpec().ParseYAML(text+line, nil)
		if err == nil {
			_, err = parseInput(conf)
		}
		require.ErrorContains(t, err, want, line)
	}
}
