package kafka

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// toTopics returns a message to each topic, numbered from first.
func toTopics(first int, topics ...string) service.MessageBatch {
	batch := messages(first, len(topics))
	for i, topic := range topics {
		batch[i].MetaSetMut("topic", topic)
	}
	return batch
}

// Messages may name any number of topics. Illegal and missing topics leave nothing in
// memory.
func TestOnlyTopicsThatKafkaHasAreKept(t *testing.T) {
	t.Parallel() // the client asks for a missing topic for some seconds
	c := cluster(t, 1, kfake.SeedTopics(1, "u", "v"))
	o := started(t, c.ListenAddrs(), "topic: ${! @topic }", "allow_auto_topic_creation: false", "metric_topics: 3")
	o.silence = time.Minute
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprintf("a/%d", i))
	}
	names = append(names, "t", "u", "v")
	var failed *service.BatchError
	require.ErrorAs(t, o.WriteBatch(t.Context(), toTopics(0, names...)), &failed)
	require.Equal(t, 5000, failed.IndexedErrors())
	for i := range 20 {
		names = append(names, fmt.Sprintf("missing-%d", i))
	}
	require.ErrorAs(t, o.WriteBatch(t.Context(), toTopics(0, names...)), &failed)
	require.Equal(t, 5020, failed.IndexedErrors())
	var kept []string
	for name := range o.producer.topics.known {
		kept = append(kept, name)
	}
	require.ElementsMatch(t, []string{"t", "u", "v"}, kept)
	require.Len(t, o.metrics.topics.known, 3, "labels")
	asked := make(chan int, 100)
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		asked <- len(req.(*kmsg.MetadataRequest).Topics)
		return nil, nil, false
	})
	o.producer.client.ForceMetadataRefresh()
	require.Equal(t, 3, <-asked, "the client does not ask for the others")
	require.NotContains(t, o.metrics.topics.known, "a/0")
}

func TestFailedTopicsBeyondTheLimitCountAsOther(t *testing.T) {
	var topics []string
	for i := range 20 {
		topics = append(topics, fmt.Sprintf("t%d", i))
	}
	c := cluster(t, 1, kfake.SeedTopics(1, topics...))
	env := service.GlobalEnvironment().Clone()
	require.NoError(t, Register(env))
	builder := env.NewStreamBuilder()
	mux := http.NewServeMux()
	builder.SetHTTPMux(mux)
	require.NoError(t, builder.SetMetricsYAML("prometheus: {}"))
	require.NoError(t, builder.SetLoggerYAML("level: none"))
	require.NoError(t, builder.AddInputYAML(`
generate:
  count: 41
  interval: 1ms
  mapping: |
    let n = counter() - 1
    meta topic = if $n == 40 { "a/b" } else { "t%d".format($n % 20) }
    root = "x".repeat(3000)`))
	require.NoError(t, builder.AddOutputYAML(fmt.Sprintf(
		`kafka_franz: { seed_brokers: [ %q ], topic: '${! @topic }', max_message_bytes: 1KiB, failure_strategy: discard, metric_topics: 3 }`, c.ListenAddrs()[0])))
	stream, err := builder.Build()
	require.NoError(t, err)
	require.NoError(t, stream.Run(context.Background()))
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var series []string
	for line := range strings.Lines(recorder.Body.String()) {
		if strings.HasPrefix(line, "kafka_output_records_failed{") {
			line = strings.Replace(line, `,label="",path="root.output"`, "", 1)
			series = append(series, strings.TrimPrefix(strings.TrimSpace(line), "kafka_output_records_failed"))
		}
	}
	require.ElementsMatch(t, []string{
		`{class="record",error="INVALID_MESSAGE",topic="other"} 1`,
		`{class="record",error="MESSAGE_TOO_LARGE",topic="other"} 34`,
		`{class="record",error="MESSAGE_TOO_LARGE",topic="t0"} 2`,
		`{class="record",error="MESSAGE_TOO_LARGE",topic="t1"} 2`,
		`{class="record",error="MESSAGE_TOO_LARGE",topic="t2"} 2`,
	}, series)
}

// A Kafka that does not answer the query for a limit delays no batch, and the query
// asks for that limit only.
func TestLimitsAreReadInTheBackground(t *testing.T) {
	c := cluster(t, 1)
	setLimit(t, c, "t", "77777")
	release := make(chan struct{})
	var asked atomic.Int64
	c.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		asked.Add(1)
		for _, resource := range req.(*kmsg.DescribeConfigsRequest).Resources {
			if resource.ResourceName != "t" || len(resource.ConfigNames) != 1 || resource.ConfigNames[0] != "max.message.bytes" {
				t.Errorf("asked for %v of %q", resource.ConfigNames, resource.ResourceName)
			}
		}
		c.SleepControl(func() { <-release })
		return nil, nil, false
	})
	o := started(t, c.ListenAddrs(), "topic: ${! @topic }")
	for i := range 20 {
		require.NoError(t, o.WriteBatch(t.Context(), toTopics(i, "t")))
	}
	require.Eventually(t, func() bool { return asked.Load() == 1 }, patience, time.Millisecond)
	require.Zero(t, o.producer.topics.limit("t"))
	close(release)
	require.Eventually(t, func() bool { return o.producer.topics.limit("t") == 77777 }, patience, time.Millisecond)
	require.NoError(t, o.WriteBatch(t.Context(), toTopics(20, "t")))
	require.Equal(t, int64(1), asked.Load(), "it is not old yet")
	require.Equal(t, numbers(0, 21), values(t, c, "t"))
}

func TestLimitsAreReadAgainWhenOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSilenced(t, "failure_strategy: block, metadata_max_age: 1m")
		asked := s.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Observe: true, Count: -1})
		time.Sleep(10*time.Minute + 30*time.Second)
		// The one at the connection may come before they are counted.
		require.Contains(t, []int{10, 11}, asked.Hits(), "at the connection, and once a minute")
		s.stop(t)
		s.cluster.Close()
	})
}
