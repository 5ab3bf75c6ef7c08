package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	discard    = "failure_strategy: discard"
	retry      = "failure_strategy: { strategy: discard_after_retry, retry_total_times: 2, wait_time_ms: 1 }"
	deadLetter = "failure_strategy: { strategy: dead_message_queue, topic_name: dead, retry_total_times: 1, wait_time_ms: 1 }"
)

func TestParseStrategy(t *testing.T) {
	object := func(fields ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(fields); i += 2 {
			m[fields[i].(string)] = fields[i+1]
		}
		return m
	}
	for _, test := range []struct {
		value any
		want  Strategy
	}{
		{"block", Strategy{Name: StrategyBlock}},
		{"discard", Strategy{Name: StrategyDiscard}},
		{"discard_after_retry", Strategy{Name: StrategyDiscardAfterRetry, RetryTotalTimes: 3, WaitTime: time.Second}},
		{object("strategy", "discard_after_retry", "retry_total_times", 1, "wait_time_ms", 0), Strategy{Name: StrategyDiscardAfterRetry, RetryTotalTimes: 1}},
		{object("strategy", "dead_message_queue"), Strategy{Name: StrategyDeadMessageQueue, RetryTotalTimes: 3, WaitTime: time.Second, TopicName: "dead_letter_queue"}},
		{
			object("strategy", "dead_message_queue", "topic_name", "d", "bootstrap_servers", "a:1, b:2", "retry_total_times", int64(5), "wait_time_ms", 7.0),
			Strategy{Name: StrategyDeadMessageQueue, RetryTotalTimes: 5, WaitTime: 7 * time.Millisecond, TopicName: "d", BootstrapServers: []string{"a:1", "b:2"}},
		},
		{
			object("strategy", "dead_message_queue", "bootstrap_servers", []any{"a:1", "b:2,c:3"}),
			Strategy{Name: StrategyDeadMessageQueue, RetryTotalTimes: 3, WaitTime: time.Second, TopicName: "dead_letter_queue", BootstrapServers: []string{"a:1", "b:2", "c:3"}},
		},
	} {
		got, problems := ParseStrategy(test.value)
		require.Empty(t, problems, "%v", test.value)
		require.Equal(t, test.want, got)
	}
	for _, test := range []struct {
		value       any
		field, what string
	}{
		{7, "failure_strategy", "must be a word or an object with strategy; the words are block, discard"},
		{"drop", "failure_strategy", `value "drop" is unknown; must be one of block, discard, discard_after_retry, dead_message_queue`},
		{object("strategy", "drop"), "failure_strategy.strategy", `value "drop" is unknown`},
		{object("topic_name", "d"), "failure_strategy.strategy", "is missing"},
		{object("strategy", "discard_after_retry", "retry_total_times", 0), "failure_strategy.retry_total_times", "0 is out of range; must be 1 to 2147483647"},
		{object("strategy", "discard_after_retry", "retry_total_times", 1.5), "failure_strategy.retry_total_times", "1.5 is out of range"},
		{object("strategy", "discard_after_retry", "wait_time_ms", -1), "failure_strategy.wait_time_ms", "-1 is out of range; must be 0 to"},
		{object("strategy", "discard_after_retry", "wait_time_ms", "1s"), "failure_strategy.wait_time_ms", "must be a whole number, not 1s"},
		{object("strategy", "discard", "retry_total_times", 3), "failure_strategy.retry_total_times", "is not a field of the strategy discard"},
		{object("strategy", "block", "wait_time_ms", 3), "failure_strategy.wait_time_ms", "is not a field of the strategy block"},
		{object("strategy", "discard_after_retry", "topic_name", "d"), "failure_strategy.topic_name", "is not a field of the strategy discard_after_retry"},
		{object("strategy", "discard", "retries", 3), "failure_strategy.retries", "is not a field of a failure strategy; the fields are strategy, retry_total_times"},
		{object("strategy", "dead_message_queue", "topic_name", "a/b"), "failure_strategy.topic_name", `the topic "a/b" has a character`},
		{object("strategy", "dead_message_queue", "topic_name", 5), "failure_strategy.topic_name", "must be the name of a topic"},
		{object("strategy", "dead_message_queue", "bootstrap_servers", " , "), "failure_strategy.bootstrap_servers", "must be addresses as host:port"},
		{object("strategy", "dead_message_queue", "bootstrap_servers", []any{"a:1", 5}), "failure_strategy.bootstrap_servers", "must be addresses as host:port"},
	} {
		_, problems := ParseStrategy(test.value)
		require.Len(t, problems, 1, "%v", test.value)
		require.Equal(t, test.field, problems[0].Field)
		require.Contains(t, problems[0].What, test.what)
	}
	_, err := tryParse([]string{"localhost:1"}, "topic: dead", deadLetter)
	require.ErrorContains(t, err, `failure_strategy.topic_name: "dead" is the topic that the output writes to`)
	_, err = tryParse([]string{"localhost:1"}, "failure_strategy: { strategy: discard, wait_time_ms: 1 }")
	require.ErrorContains(t, err, "field failure_strategy.wait_time_ms: is not a field of the strategy discard")
}

// proof are the expected remains of n messages, of which 1 in every is too large.
type proof struct {
	batches [][]*service.Message
	small   []string // in order
	large   []string
}

func newProof(n, every int) *proof {
	p := &proof{}
	for first := 0; first < n; first += 997 { // a batch has none, one or two large ones
		var batch service.MessageBatch
		for i := first; i < min(n, first+997); i++ {
			value := fmt.Sprintf("%06d%s", i, strings.Repeat("y", 58))
			if i%every == every/2 {
				value = fmt.Sprintf("%06d%s", i, strings.Repeat("x", 30000))
				p.large = append(p.large, value)
			} else {
				p.small = append(p.small, value)
			}
			msg := service.NewMessage([]byte(value))
			msg.MetaSetMut("key", strconv.Itoa(i%26))
			batch = append(batch, msg)
		}
		p.batches = append(p.batches, batch)
	}
	return p
}

// run writes all messages, and returns how often the output held a batch.
func (p *proof) run(t testing.TB, o *output) (held int) {
	t.Helper()
	for _, batch := range p.batches {
		if err := o.WriteBatch(t.Context(), batch); err != nil {
			require.ErrorIs(t, err, service.ErrNotConnected)
			held++
			rewrite(t, o, batch)
		}
	}
	return held
}

// requireExactly requires the values in the topic, once each, and in order on each
// partition.
func requireExactly(t testing.TB, brokers []string, topic string, want []string) {
	t.Helper()
	var got []string
	for partition, records := range consumedFrom(t, brokers, topic) {
		last := ""
		for _, r := range records {
			require.Less(t, last, string(r.Value[:6]), "partition %d", partition)
			last = string(r.Value[:6])
			got = append(got, string(r.Value))
		}
	}
	require.Len(t, got, len(want))
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	for i := range want {
		if got[i] != want[i] {
			require.Equal(t, want[i][:6], got[i][:6])
			t.Fatalf("message %s is there with %d bytes, want %d", want[i][:6], len(got[i]), len(want[i]))
		}
	}
}

// One message in a thousand is too large: each strategy handles exactly these, and
// keeps the order of all others.
func TestStrategiesActOnRefusedRecordsAlone(t *testing.T) {
	blind := kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1}
	for name, faults := range map[string][]kfake.Fault{"limit known": nil, "limit unknown": {blind}} {
		for _, strategy := range []string{discard, retry, deadLetter} {
			t.Run(name+" "+strategy, func(t *testing.T) {
				t.Parallel()
				c := cluster(t, 3, kfake.SeedTopics(3, "dead"))
				setLimit(t, c, "t", "20000")
				c.Fault(faults...)
				o := started(t, c.ListenAddrs(), "compression: none", "key: ${! @key }", strategy)
				p := newProof(20_000, 1000)
				require.Zero(t, p.run(t, o), "nothing is held")
				requireExactly(t, c.ListenAddrs(), "t", p.small)
				deadLettered := []string{}
				if strategy == deadLetter {
					deadLettered = p.large
				}
				requireExactly(t, c.ListenAddrs(), "dead", deadLettered)
			})
		}
	}
}

// A missing topic, a missing permission or too few replicas are not errors of a record.
func TestTopicErrorsHoldTheBatchWithEveryStrategy(t *testing.T) {
	for _, strategy := range []string{discard, retry, deadLetter} {
		for _, fault := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.ClusterAuthorizationFailed, kerr.PolicyViolation} {
			if fault == kerr.UnknownTopicOrPartition && strategy != discard {
				continue // once is enough: the client retries it for ten seconds
			}
			t.Run(fault.Message+" "+strategy, func(t *testing.T) {
				t.Parallel()
				c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
				o := started(t, c.ListenAddrs(), strategy)
				o.silence = time.Minute
				require.NoError(t, o.WriteBatch(t.Context(), messages(0, 10)))
				handle := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fault, Count: -1})
				batch := messages(10, 100)
				require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
				require.Contains(t, reason(t, o), fault.Message)
				handle.Remove()
				rewrite(t, o, batch)
				require.Equal(t, numbers(0, 110), values(t, c, "t"))
				require.Empty(t, values(t, c, "dead"))
			})
		}
	}
}

// A record that succeeds within the retries is written in its place.
func TestRetriedRecordsKeepTheirPlace(t *testing.T) {
	for _, partitions := range []int32{1, 3} {
		c := cluster(t, partitions)
		o := started(t, c.ListenAddrs(), "key: ${! content() }", "failure_strategy: { strategy: discard_after_retry, retry_total_times: 20, wait_time_ms: 1 }")
		for i := range 20 {
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: 1 + i})
			require.NoError(t, o.WriteBatch(t.Context(), messages(100*i, 100)))
		}
		requireOnceInOrder(t, c, 2000)
	}
}

// A topic error during the retries holds the batch; nothing is lost or written twice.
func TestTopicErrorDuringRetriesHoldsTheBatch(t *testing.T) {
	for _, strategy := range []string{retry, deadLetter} {
		c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
		setLimit(t, c, "t", "2500") // 50 small records are a part
		o := started(t, c.ListenAddrs(), "compression: none", strategy)
		batch := messages(0, 100)
		large := strings.Repeat("x", 3000)
		batch[50] = service.NewMessage([]byte(large))
		// The requests: the records before the large one, the large one itself, and its
		// retry.
		handle := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1, When: every(2)})
		require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
		require.Contains(t, reason(t, o), "TOPIC_AUTHORIZATION_FAILED")
		require.Equal(t, numbers(0, 50), values(t, c, "t"))
		handle.Remove()
		rewrite(t, o, batch)
		require.Equal(t, append(numbers(0, 50), numbers(51, 100)...), values(t, c, "t"))
		if strategy == deadLetter {
			require.Equal(t, []string{large}, values(t, c, "dead"))
		}
	}
}

func TestStrategyHandlesMessagesThatCannotBecomeRecords(t *testing.T) {
	batch := messages(0, 5)
	for _, msg := range batch {
		msg.MetaSetMut("topic", "t")
	}
	batch[1].MetaSetMut("topic", "a/b")
	batch[3].SetError(errors.New("no envelope"))

	c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
	o := started(t, c.ListenAddrs(), "topic: ${! @topic }", deadLetter)
	require.NoError(t, o.WriteBatch(t.Context(), batch))
	require.Equal(t, []string{"000000", "000002", "000004"}, values(t, c, "t"))
	require.Equal(t, []string{"000001", "000003"}, values(t, c, "dead"))
	var stages []string
	for _, r := range consumed(t, c, "dead")[0] {
		stages = append(stages, connectHeaders(r)["stage"])
	}
	require.Equal(t, []string{"VALUE_CONVERTER", "TRANSFORMATION"}, stages)

	o = started(t, c.ListenAddrs(), "topic: ${! @topic }", discard)
	require.NoError(t, o.WriteBatch(t.Context(), batch))
	require.Len(t, values(t, c, "t"), 6)
	require.Len(t, values(t, c, "dead"), 2)
}

// A message that carries an error does not have the content that its processor should
// have produced.
func TestBlockHoldsMessagesWithErrors(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), block()...)
	batch := messages(0, 5)
	batch[3].SetError(errors.New("no envelope"))
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	text := reason(t, o)
	require.Contains(t, text, "writing message 4 of 5")
	require.Contains(t, text, "a processor failed on the message")
	require.Contains(t, text, "no envelope")
	ctx, cancel := contextWithTimeout(t, 200*time.Millisecond)
	defer cancel()
	require.Error(t, o.Connect(ctx), "it stays")
	require.Equal(t, numbers(0, 3), values(t, c, "t"))
}

// By setting limits on retries or time, the user asks that a transient error counts as
// a refusal once they are reached. An error that a person has to correct still does
// not.
func TestReachingTheRetryLimitIsARefusal(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), discard, "record_retries: 1")
	o.silence = time.Minute
	require.NoError(t, o.WriteBatch(t.Context(), messages(0, 10)))
	handle := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.KafkaStorageError, Count: -1})
	require.NoError(t, o.WriteBatch(t.Context(), messages(10, 10)))
	handle.Remove()
	require.NoError(t, o.WriteBatch(t.Context(), messages(20, 10)))
	require.Equal(t, append(numbers(0, 10), numbers(20, 30)...), values(t, c, "t"))

	setConfig(t, c, "t", "min.insync.replicas", "2")
	handle = c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	batch := messages(30, 10)
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	handle.Remove()
	rewrite(t, o, batch)
	require.Equal(t, append(numbers(0, 10), numbers(20, 40)...), values(t, c, "t"))
}

// With idempotent_write the client does not give up a record that may be in Kafka.
func TestReachingTheTimeLimitIsARefusal(t *testing.T) {
	c, g := gated(t)
	o := started(t, c.ListenAddrs(), discard, "record_delivery_timeout: 1s", "idempotent_write: false", "acks: leader", "request_timeout_overhead: 300ms", "timeout: 300ms")
	o.silence = time.Minute
	require.NoError(t, o.WriteBatch(t.Context(), messages(0, 10)))
	g.frozen.Lock()
	require.NoError(t, o.WriteBatch(t.Context(), messages(10, 10)))
	g.frozen.Unlock()
	require.NoError(t, o.WriteBatch(t.Context(), messages(20, 10)))
	require.Subset(t, numbers(0, 30), values(t, c, "t"))
	require.Subset(t, values(t, c, "t"), append(numbers(0, 10), numbers(20, 30)...))
}

// Waiting as the strategy asks is not a silence of Kafka, and ends when the output is
// closed.
func TestStrategyWaitIsNotSilenceAndEndsWithTheOutput(t *testing.T) {
	c := cluster(t, 1)
	setLimit(t, c, "t", "1000")
	o := started(t, c.ListenAddrs(), "compression: none", "failure_strategy: { strategy: discard_after_retry, wait_time_ms: 3600000 }")
	o.silence = 20 * time.Millisecond
	b := new(buffers)
	batch := service.MessageBatch{service.NewMessage([]byte(strings.Repeat("x", 3000)))}
	d := newDelivery(batch, b, o.conf.records.build(batch, b), o.handler)
	require.True(t, o.begin(o.producer, d))
	require.Eventually(t, d.waiting.Load, patience, time.Millisecond)
	ctx, cancel := contextWithTimeout(t, 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, o.await(ctx, o.producer, d, nil), ctx.Err())
	require.True(t, d.waiting.Load())
	require.NoError(t, o.Close(t.Context()))
	<-d.done
	require.ErrorIs(t, d.fault.err, kgo.ErrClientClosed)
}

// With acks none Kafka reports nothing that a strategy could handle. Two settings ask
// for that together, so the output warns and does not refuse; records that the output
// itself refuses are still handled by the strategy.
func TestAcksNoneWithAStrategyWarns(t *testing.T) {
	c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
	var log bytes.Buffer
	logger := service.NewLoggerFromSlog(slog.New(slog.NewTextHandler(&log, nil)))
	start := func(lines ...string) *output {
		conf := parsed(t, c.ListenAddrs(), append(lines, "idempotent_write: false", "max_message_bytes: 1KiB", "compression: none")...)
		o := newOutput(conf, service.MockResources(service.MockResourcesOptUseLogger(logger)))
		t.Cleanup(func() { require.NoError(t, o.Close(context.Background())) })
		require.NoError(t, o.Connect(t.Context()))
		return o
	}
	start("acks: leader", deadLetter)
	require.NotContains(t, log.String(), "acks none")
	o := start("acks: none", deadLetter)
	require.Contains(t, log.String(), "With acks none Kafka reports no refusals")
	large := strings.Repeat("x", 3000)
	require.NoError(t, o.WriteBatch(t.Context(), service.MessageBatch{service.NewMessage([]byte(large))}))
	require.Equal(t, []string{large}, values(t, c, "dead"))
}

// The output encodes envelopes itself. A message that it cannot encode, or on which a
// processor failed, becomes a dead letter with its original content.
func TestDeadLettersReplaceEnvelopesThatCannotBeEncoded(t *testing.T) {
	c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
	o := started(t, c.ListenAddrs(), "envelope: { enabled: true }", "key: ${! @mqtt_topic }", deadLetter)
	batch := messages(0, 4)
	for _, msg := range batch {
		msg.MetaSetMut("mqtt_topic", "a/b")
	}
	batch[1].MetaSetMut("mqtt_qos", 7)
	batch[2].SetError(errors.New("no"))
	require.NoError(t, o.WriteBatch(t.Context(), batch))
	require.Len(t, values(t, c, "t"), 2)
	letters := consumed(t, c, "dead")[0]
	require.Len(t, letters, 2)
	for i, stage := range []string{"VALUE_CONVERTER", "TRANSFORMATION"} {
		require.Equal(t, numbers(1, 3)[i], string(letters[i].Value))
		require.Equal(t, "a/b", string(letters[i].Key))
		require.Equal(t, stage, connectHeaders(letters[i])["stage"])
	}
}
