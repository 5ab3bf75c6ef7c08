package templates_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// records returns the first n records of a topic of one partition.
func records(t *testing.T, brokers []string, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		all = append(all, fetches.Records()...)
	}
	return all
}

// A message that cannot be encoded must not be written raw in place of an envelope.
func TestMessageWithoutEnvelopeIsNeverWrittenRaw(t *testing.T) {
	for strategy, format := range map[string]string{
		"{ strategy: dead_message_queue, topic_name: dead, retry_total_times: 1, wait_time_ms: 0 }": "robustmq_json",
		"{ strategy: dead_message_queue, topic_name: dead }":                                        "raw",
		"discard": "robustmq_json",
		"block":   "robustmq_json",
	} {
		t.Run(strategy+" "+format, func(t *testing.T) {
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t", "dead"))
			require.NoError(t, err)
			defer c.Close()
			builder := service.GlobalEnvironment().NewStreamBuilder()
			builder.SetThreads(1)
			require.NoError(t, builder.SetLoggerYAML("level: off"))
			require.NoError(t, builder.AddInputYAML("generate: { count: 5, interval: \"\", mapping: 'root = counter().string()' }"))
			require.NoError(t, builder.AddProcessorYAML(`mapping: |
  meta mqtt_topic = "a/b"
  meta mqtt_qos = if content().string() == "3" { 7 }
  root = this`))
			if format == "raw" {
				require.NoError(t, builder.AddProcessorYAML(`mapping: 'root = if content().string() == "3" { throw("no") }'`))
			}
			require.NoError(t, builder.AddOutputYAML(fmt.Sprintf(
				"label: one\nrobustmq_kafka: { bootstrap_servers: %q, topic: t, format: %s, failure_strategy: %s }", c.ListenAddrs()[0], format, strategy)))
			stream, err := builder.Build()
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { ended <- stream.Run(context.Background()) }()
			if strategy == "block" {
				require.Len(t, records(t, c.ListenAddrs(), "t", 2), 2)
				require.NoError(t, stream.StopWithin(5*time.Second))
				require.Len(t, records(t, c.ListenAddrs(), "t", 2), 2, "nothing after it is written")
				return
			}
			require.NoError(t, <-ended)
			written := records(t, c.ListenAddrs(), "t", 4)
			require.Len(t, written, 4)
			for _, r := range written {
				require.NotEqual(t, "3", string(r.Value))
				require.Equal(t, "a/b", string(r.Key))
			}
			if strategy == "discard" {
				return
			}
			letters := records(t, c.ListenAddrs(), "dead", 1)
			require.Len(t, letters, 1)
			require.Equal(t, "3", string(letters[0].Value))
			headers := map[string]string{}
			for _, h := range letters[0].Headers {
				headers[h.Key] = string(h.Value)
			}
			require.Equal(t, map[string]string{"raw": "TRANSFORMATION", "robustmq_json": "VALUE_CONVERTER"}[format], headers["__connect.errors.stage"])
			require.Equal(t, "a/b", string(letters[0].Key))
			require.Equal(t, "one", headers["__connect.errors.connector.name"])
			require.Equal(t, "a/b", headers["mqtt_topic"])
		})
	}
}
