package kafka

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func TestOutputWritesInOrder(t *testing.T) {
	for name, lines := range map[string][]string{
		"stock":       nil,
		"block":       block(),
		"linger":      {"linger: 5ms"},
		"in parallel": {"max_in_flight: 4"},
		"parts":       block("max_buffered_records: 7"),
		"bytes":       block(`max_buffered_bytes: "100"`),
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, 1)
			o := started(t, c.ListenAddrs(), lines...)
			for i := range 5 {
				require.NoError(t, o.WriteBatch(t.Context(), messages(100*i, 100)))
			}
			require.Equal(t, numbers(0, 500), values(t, c, "t"))
		})
	}
}

func TestOutputKeepsOrderAcrossRetries(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), block("max_message_bytes: 2KiB")...)
	o.silence = time.Minute
	for _, err := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend} {
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err})
	}
	for i := range 3 {
		require.NoError(t, o.WriteBatch(t.Context(), messages(1000*i, 1000)))
	}
	require.Equal(t, numbers(0, 3000), values(t, c, "t"))
}

// One record of a thousand is too large. Kafka refuses the record batch that contains
// it, and must still get the others.
func TestOutputTooLargeRecordFailsAlone(t *testing.T) {
	for name, faults := range map[string][]kfake.Fault{
		"limit known":   nil,
		"limit unknown": {{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, 1)
			setLimit(t, c, "t", "2000")
			c.Fault(faults...)
			o := started(t, c.ListenAddrs(), "compression: none")
			batch := messages(0, 1000)
			batch[500] = service.NewMessage([]byte(strings.Repeat("x", 3000)))
			err := o.WriteBatch(t.Context(), batch)
			var failed *service.BatchError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, 1, failed.IndexedErrors())
			require.ErrorContains(t, err, `writing message 501 of 1000 to topic "t", partition 0: MESSAGE_TOO_LARGE`)
			require.ErrorContains(t, err, "raise max.message.bytes of the topic")
			failed.WalkMessagesIndexedBy(batch.Index(), func(i int, _ *service.Message, err error) bool {
				require.Equal(t, i == 500, err != nil)
				return true
			})
			require.Equal(t, append(numbers(0, 500), numbers(501, 1000)...), values(t, c, "t"))
		})
	}
}

// The limit of the topic is lowered between two batches, so the output's cached limit
// is wrong.
func TestOutputLimitLoweredWhileRunning(t *testing.T) {
	for name, lines := range map[string][]string{"stock": {}, "block": block()} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, 1)
			o := started(t, c.ListenAddrs(), append(lines, "compression: none")...)
			require.NoError(t, o.WriteBatch(t.Context(), messages(0, 1000)))
			setLimit(t, c, "t", "1500")
			require.NoError(t, o.WriteBatch(t.Context(), messages(1000, 1000)))
			require.Equal(t, numbers(0, 2000), values(t, c, "t"))
		})
	}
}

// A record that compresses to less than the topic's limit is written, as with the stock
// output.
func TestOutputCompressedRecordFits(t *testing.T) {
	c := cluster(t, 1)
	setLimit(t, c, "t", "2000")
	o := started(t, c.ListenAddrs(), block()...)
	large := strings.Repeat("x", 20000)
	require.NoError(t, o.WriteBatch(t.Context(), service.MessageBatch{service.NewMessage([]byte("a")), service.NewMessage([]byte(large)), service.NewMessage([]byte("b"))}))
	require.Equal(t, []string{"a", large, "b"}, values(t, c, "t"))
}

func TestStockBehaviourWithoutStrategy(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), "topic: missing", "allow_auto_topic_creation: false")
	o.silence = time.Minute
	err := o.WriteBatch(t.Context(), messages(0, 10))
	var failed *service.BatchError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 10, failed.IndexedErrors())
	require.ErrorContains(t, err, "UNKNOWN_TOPIC_OR_PARTITION")
	require.NotErrorIs(t, err, service.ErrNotConnected)
}

func TestInvalidMessagesFailAlone(t *testing.T) {
	c := cluster(t, 1)
	batch := messages(0, 4)
	for _, msg := range batch {
		msg.MetaSetMut("topic", "t")
	}
	batch[1].MetaSetMut("topic", "a/b")
	batch[2].MetaDelete("topic")

	o := started(t, c.ListenAddrs(), `topic: ${! @topic.not_null() }`)
	err := o.WriteBatch(t.Context(), batch)
	var failed *service.BatchError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 2, failed.IndexedErrors())
	require.ErrorContains(t, err, `the topic "a/b" has a character that Kafka does not allow`)
	require.Equal(t, []string{"000000", "000003"}, values(t, c, "t"))

	o = started(t, c.ListenAddrs(), block(`topic: ${! @topic.not_null() }`)...)
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	require.Contains(t, reason(t, o), `the topic "a/b"`)
	require.Equal(t, []string{"000000", "000003", "000000"}, values(t, c, "t"), "nothing after it is written")
}

// Round robin would give refused records another partition when they are written again,
// behind later records.
func TestRefusedRecordsKeepTheirPartition(t *testing.T) {
	for _, partitioner := range []string{"round_robin", "least_backup", "murmur2_hash"} {
		t.Run(partitioner, func(t *testing.T) {
			c := cluster(t, 3)
			o := started(t, c.ListenAddrs(), block("partitioner: "+partitioner)...)
			handle := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{0, 1}, Err: kerr.InvalidRecord, Count: -1})
			batch, n := messages(0, 100), 100
			for o.WriteBatch(t.Context(), batch) == nil { // until one meets a refusal
				batch = messages(n, 100)
				n += 100
			}
			handle.Remove()
			rewrite(t, o, batch)
			requireOnceInOrder(t, c, n)
		})
	}
}

// requireOnceInOrder requires the messages from 0 to n, each once, and in order on each
// partition.
func requireOnceInOrder(t *testing.T, c *kfake.Cluster, n int) {
	t.Helper()
	total := 0
	for partition, records := range consumed(t, c, "t") {
		last := ""
		for _, r := range records {
			require.Less(t, last, string(r.Value[:6]), "partition %d", partition)
			last = string(r.Value[:6])
			total++
		}
	}
	require.Equal(t, n, total)
}

// A partition gets one record batch per part: records behind a refused one would
// overtake it. This holds from the first batch of a topic on, although the client has
// to query the partitions first.
func TestPartIsOneRequest(t *testing.T) {
	for _, linger := range []string{"linger: 0s", "linger: 2ms"} {
		t.Run(linger, func(t *testing.T) {
			c := cluster(t, 1)
			o := started(t, c.ListenAddrs(), block(linger)...)
			requests := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
			for i := range 20 {
				require.NoError(t, o.WriteBatch(t.Context(), messages(1000*i, 1000)))
				require.Equal(t, i+1, requests.Hits())
			}
		})
	}
}

// A batch that fills a record batch does not wait, and a lingering batch ends when the
// output is closed.
func TestLingerDelaysSmallBatchesOnly(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), block("linger: 1m", "max_message_bytes: 1KiB")...)
	require.NoError(t, o.WriteBatch(t.Context(), messages(0, 1000)))
	b := new(buffers)
	batch := messages(1000, 1)
	d := newDelivery(batch, b, o.conf.records.build(batch, b), o.handler)
	require.True(t, o.begin(o.producer, d))
	require.Eventually(t, d.waiting.Load, patience, time.Millisecond)
	require.NoError(t, o.Close(t.Context()))
	<-d.done
	require.Len(t, values(t, c, "t"), 1000)
}

func TestBatchesInParallel(t *testing.T) {
	c := cluster(t, 3)
	o := started(t, c.ListenAddrs(), "max_in_flight: 8", "idempotent_write: false", "acks: leader")
	errs := make(chan error)
	for i := range 8 {
		go func() { errs <- o.WriteBatch(t.Context(), messages(100*i, 100)) }()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
	total := 0
	for _, records := range consumed(t, c, "t") {
		total += len(records)
	}
	require.Equal(t, 800, total)
}
