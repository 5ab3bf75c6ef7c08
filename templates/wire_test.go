package templates_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaWire is a Kafka that records what producers send.
type kafkaWire struct {
	*kfake.Cluster

	mu       sync.Mutex
	requests []wireRequest
}

// wireRequest is a produce request of one record batch.
type wireRequest struct {
	at         time.Time
	acks       int16
	codec      int16 // as in the record batch's attributes
	producerID int64
}

func startWire(t *testing.T) *kafkaWire {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	w := &kafkaWire{Cluster: cluster}
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		w.note(t, request.(*kmsg.ProduceRequest))
		return nil, nil, false
	})
	return w
}

func (w *kafkaWire) note(t *testing.T, request *kmsg.ProduceRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range request.Topics {
		for _, partition := range topic.Partitions {
			var batch kmsg.RecordBatch
			if assert.NoError(t, batch.ReadFrom(partition.Records)) {
				w.requests = append(w.requests, wireRequest{time.Now(), request.Acks, batch.Attributes & 7, batch.ProducerID})
			}
		}
	}
}

func (w *kafkaWire) noted() []wireRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]wireRequest(nil), w.requests...)
}

// write runs a pipeline with these settings of the output until it ends, and returns
// what the producer sent.
func (w *kafkaWire) write(t *testing.T, generate, settings string) []wireRequest {
	t.Helper()
	builder := service.GlobalEnvironment().NewStreamBuilder()
	builder.SetThreads(1)
	require.NoError(t, builder.SetLoggerYAML("level: off"))
	require.NoError(t, builder.AddInputYAML("generate: { "+generate+" }"))
	require.NoError(t, builder.AddOutputYAML(fmt.Sprintf(
		"robustmq_kafka: { bootstrap_servers: %q, topic: t, key: k, format: raw, %s }", w.ListenAddrs()[0], settings)))
	stream, err := builder.Build()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, stream.Run(ctx))
	return w.noted()
}

// oneMessage is large enough to compress.
const oneMessage = `count: 1, mapping: 'root = "%s"'`

func oneMessageOf(size int) string { return fmt.Sprintf(oneMessage, strings.Repeat("x", size)) }

func TestAcksAndCompressionReachKafka(t *testing.T) {
	for settings, want := range map[string]wireRequest{
		"acks: all":                             {acks: -1},
		"acks: -1":                              {acks: -1},
		`acks: "1", idempotent_write: false`:    {acks: 1, producerID: -1},
		"acks: 0, idempotent_write: false":      {acks: 0, producerID: -1},
		`acks: "all", idempotent_write: false`:  {acks: -1, producerID: -1},
		`acks: "-1", idempotent_write: true`:    {acks: -1},
		"compression_type: none":                {acks: -1},
		"compression_type: gzip":                {acks: -1, codec: 1},
		"compression_type: snappy":              {acks: -1, codec: 2},
		"compression_type: lz4":                 {acks: -1, codec: 3},
		"compression_type: zstd":                {acks: -1, codec: 4},
		"compression_type: zstd, batch_size: 1": {acks: -1, codec: 4},
	} {
		t.Run(settings, func(t *testing.T) {
			w := startWire(t)
			w.write(t, oneMessageOf(1000), settings)
			// Without acknowledgements the pipeline may end before Kafka reads.
			require.Eventually(t, func() bool { return len(w.noted()) == 1 }, time.Minute, time.Millisecond)
			got := w.noted()
			want.at = got[0].at
			if want.producerID == 0 {
				require.GreaterOrEqual(t, got[0].producerID, int64(0), "the producer is idempotent")
				want.producerID = got[0].producerID
			}
			require.Equal(t, want, got[0])
		})
	}
}

// A record larger than batch_size is neither refused nor split.
func TestBatchSizeDoesNotLimitRecords(t *testing.T) {
	w := startWire(t)
	require.Len(t, w.write(t, oneMessageOf(100_000), "batch_size: 1, failure_strategy: discard"), 1)
	require.Equal(t, int64(1), w.PartitionInfo("t", 0).HighWatermark)
}

func TestLingerDelaysRecords(t *testing.T) {
	const messages, linger = 3, 400 * time.Millisecond
	generate := fmt.Sprintf(`count: %d, interval: 1ms, mapping: 'root = timestamp_unix_milli()'`, messages)
	for settings, waits := range map[string]bool{"linger_ms: 400": true, "linger_ms: 0": false, "": false} {
		t.Run(settings, func(t *testing.T) {
			sent := startWire(t).write(t, generate, settings)
			require.Len(t, sent, messages, "each message is a batch")
			took := sent[messages-1].at.Sub(sent[0].at)
			if waits {
				require.GreaterOrEqual(t, took, (messages-1)*linger)
			} else {
				require.Less(t, took, (messages-1)*linger, "only Kafka's answer delays the next record")
			}
		})
	}
}

// A broker that always fails gets one request, plus as many as retries allows.
func TestRetriesAreCounted(t *testing.T) {
	for _, retries := range []int{1, 2} {
		t.Run(strconv.Itoa(retries), func(t *testing.T) {
			w := startWire(t)
			w.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.KafkaStorageError, Count: -1})
			got := w.write(t, oneMessageOf(10), fmt.Sprintf("retries: %d, failure_strategy: discard", retries))
			require.Len(t, got, 1+retries)
			require.Zero(t, w.PartitionInfo("t", 0).HighWatermark)
		})
	}
}

func TestMessageTimeoutEndsTheRetries(t *testing.T) {
	w := startWire(t)
	w.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.KafkaStorageError, Count: -1})
	started := time.Now()
	got := w.write(t, oneMessageOf(10), "message_timeout_ms: 2500, failure_strategy: discard")
	require.GreaterOrEqual(t, time.Since(started), 2500*time.Millisecond)
	require.Greater(t, len(got), 1, "it was tried again until then")
	require.Zero(t, w.PartitionInfo("t", 0).HighWatermark)
}
