package kafka

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// BenchmarkWriteBatch writes batches of 1000 messages of 64 bytes, each with a key, and
// reports time and allocations per message.
func BenchmarkWriteBatch(b *testing.B) {
	for name, lines := range map[string][]string{
		"block":  block("key: ${! @kafka_key }"),
		"stock":  {"key: ${! @kafka_key }"},
		"auto":   {"key: ${! @kafka_key }", "max_in_flight: 2"}, // the client decides when to write
		"engine": block("key: ${! @kafka_key + \"\" }"),         // an expression
		"no key": block(),
		"one":    block(), // one message at a time
		"tailed": block("key: ${! @kafka_key }"),
	} {
		b.Run(name, func(b *testing.B) {
			c := cluster(b, 3, kfake.BrokerConfigs(map[string]string{"log.retention.bytes": "1000000"}))
			o := started(b, c.ListenAddrs(), lines...)
			if name == "tailed" {
				o.tail = new(tail.Hub).NewFeed()
				reader, err := o.tail.Open(0)
				require.NoError(b, err)
				defer reader.Close() // it reads nothing: the slowest that there is
			}
			size := 1000
			if name == "one" {
				size = 1
			}
			batch := make(service.MessageBatch, size)
			for i := range batch {
				batch[i] = service.NewMessage(make([]byte, 64))
				batch[i].MetaSetMut("kafka_key", string(rune('a'+i%26)))
			}
			require.NoError(b, o.WriteBatch(b.Context(), batch))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				if err := o.WriteBatch(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			n := float64(b.N * size)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/record")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/record")
		})
	}
}

// BenchmarkLargeRecords writes batches of 120 records of 44 KB (16 KB in an envelope)
// to a Kafka that answers after 2 ms. Each batch has several parts.
func BenchmarkLargeRecords(b *testing.B) {
	for name, partitions := range map[string]int32{"1 partition": 1, "12 partitions": 12} {
		b.Run(name, func(b *testing.B) {
			c := cluster(b, partitions, kfake.BrokerConfigs(map[string]string{"log.retention.bytes": "1000000"}))
			var requests atomic.Int64
			c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				requests.Add(1)
				c.SleepControl(func() { time.Sleep(2 * time.Millisecond) })
				return nil, nil, false
			})
			o := started(b, c.ListenAddrs(), block("key: ${! @kafka_key }", "compression: none")...)
			o.silence = time.Minute
			batch := make(service.MessageBatch, 120)
			for i := range batch {
				batch[i] = service.NewMessage(make([]byte, 44<<10))
				batch[i].MetaSetMut("kafka_key", string(rune('a'+i%26)))
			}
			require.NoError(b, o.WriteBatch(b.Context(), batch))
			requests.Store(0)
			for b.Loop() {
				if err := o.WriteBatch(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(requests.Load())/float64(b.N), "requests/batch")
		})
	}
}

// BenchmarkBuild builds the records of 1000 messages, without Kafka.
func BenchmarkBuild(b *testing.B) {
	for name, lines := range map[string][]string{
		"look-up":    {"key: ${! @kafka_key }", "timestamp_ms: ${! @mqtt_timestamp_ms }"},
		"expression": {`key: ${! @kafka_key + "" }`, `timestamp_ms: ${! @mqtt_timestamp_ms + 0 }`},
	} {
		b.Run(name, func(b *testing.B) {
			c := parsed(b, []string{"localhost:1"}, lines...)
			batch := messages(0, 1000)
			for _, msg := range batch {
				msg.MetaSetMut("kafka_key", "key")
				msg.MetaSetMut("mqtt_timestamp_ms", int64(1700000000123))
			}
			b.ReportAllocs()
			in := new(buffers)
			for b.Loop() {
				c.records.build(batch, in)
				in.empty()
			}
		})
	}
}
