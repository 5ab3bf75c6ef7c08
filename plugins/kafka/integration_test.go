//go:build integration

package kafka

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// realTopic creates a topic of one partition on the Kafka of KAFKA_BROKERS.
func realTopic(t *testing.T, limit string) (brokers []string, topic string, setLimit func(string)) {
	t.Helper()
	brokers = strings.Split(os.Getenv("KAFKA_BROKERS"), ",")
	require.NotEmpty(t, brokers[0], "set KAFKA_BROKERS")
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	topic = fmt.Sprintf("output-%d", time.Now().UnixNano())
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(t.Context(), 1, 1, realSettings(limit), topic)
	require.NoError(t, err)
	return brokers, topic, func(limit string) {
		_, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, topic)
		require.NoError(t, err)
		// Brokers apply a new setting a little later.
		time.Sleep(time.Second)
	}
}

// realSettings are those of a topic that takes records up to limit bytes. Some tests write
// records of years ago, which Kafka would delete the next time it looks.
func realSettings(limit string) map[string]*string {
	forever := "-1"
	return map[string]*string{"max.message.bytes": &limit, "retention.ms": &forever}
}

func realValues(t *testing.T, brokers []string, topic string, n int) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	end, _ := ends.Lookup(topic, 0)
	require.EqualValues(t, n, end.Offset)
	var values []string
	for len(values) < n {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// Apache Kafka refuses a whole record batch because of one record, and accepts the
// records after it.
func TestRealKafkaTooLarge(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprint("limit known ", known), func(t *testing.T) {
			brokers, topic, setLimit := realTopic(t, "20000")
			large := strings.Repeat("x", 30000)
			batch := messages(0, 1000)
			for i, msg := range batch {
				msg.SetBytes([]byte(fmt.Sprintf("%06d%s", i, strings.Repeat("y", 94))))
			}
			batch[500].SetBytes([]byte(large))
			var want []string
			for _, msg := range batch {
				payload, _ := msg.AsBytes()
				want = append(want, string(payload))
			}
			blind := func(o *output) {
				if !known {
					require.NoError(t, o.Connect(t.Context()))
					o.producer.topics.read = func(context.Context, []string) map[string]int32 { return nil }
				}
			}

			o := unconnected(t, brokers, "topic: "+topic, "compression: none", "metadata_max_age: 1h")
			require.NoError(t, o.Connect(t.Context()))
			blind(o)
			var failed *service.BatchError
			require.ErrorAs(t, o.WriteBatch(t.Context(), batch), &failed)
			require.Equal(t, 1, failed.IndexedErrors())
			others := append(append([]string{}, want[:500]...), want[501:]...)
			require.Equal(t, others, realValues(t, brokers, topic, 999))

			o = unconnected(t, brokers, block("topic: "+topic, "compression: none", "metadata_max_age: 1h")...)
			require.NoError(t, o.Connect(t.Context()))
			blind(o)
			require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
			require.Contains(t, reason(t, o), "MESSAGE_TOO_LARGE")
			setLimit("100000")
			rewrite(t, o, batch)
			require.Equal(t, append(others, want...), realValues(t, brokers, topic, 1999))
		})
	}
}

func TestRealKafkaUnknownTopic(t *testing.T) {
	brokers, _, _ := realTopic(t, "20000")
	topic := fmt.Sprintf("later-%d", time.Now().UnixNano())
	o := started(t, brokers, block("topic: "+topic, "allow_auto_topic_creation: false")...)
	o.silence = 20 * time.Second
	batch := messages(0, 100)
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	require.Contains(t, reason(t, o), "UNKNOWN_TOPIC_OR_PARTITION")
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic)
	require.NoError(t, err)
	rewrite(t, o, batch)
	require.Equal(t, numbers(0, 100), realValues(t, brokers, topic, 100))
}

func TestRealKafkaInvalidTimestampIsARecordError(t *testing.T) {
	brokers, topic, _ := realTopic(t, "20000")
	o := started(t, brokers, "topic: "+topic, `timestamp_ms: ${! @ts }`)
	batch := messages(0, 10)
	for i, msg := range batch {
		ts := time.Now().UnixMilli()
		if i == 5 {
			ts += 48 * 3600 * 1000 // Kafka allows at most an hour into the future
		}
		msg.MetaSetMut("ts", ts)
	}
	var failed *service.BatchError
	require.ErrorAs(t, o.WriteBatch(t.Context(), batch), &failed)
	require.Equal(t, 1, failed.IndexedErrors())
	require.Equal(t, append(numbers(0, 5), numbers(6, 10)...), realValues(t, brokers, topic, 9))
}

func TestRealKafkaCreatesTheTopic(t *testing.T) {
	brokers, _, _ := realTopic(t, "20000")
	topic := fmt.Sprintf("auto-%d", time.Now().UnixNano())
	o := started(t, brokers, "topic: "+topic)
	require.NoError(t, o.WriteBatch(t.Context(), messages(0, 100)))
	require.Equal(t, numbers(0, 100), realValues(t, brokers, topic, 100))
}
