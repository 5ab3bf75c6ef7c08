package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

const connectPrefix = "__connect.errors."

// connectHeaders returns the error headers of Kafka Connect, without their prefix.
func connectHeaders(r *kgo.Record) map[string]string {
	headers := map[string]string{}
	for _, h := range r.Headers {
		if name, ok := strings.CutPrefix(h.Key, connectPrefix); ok {
			headers[name] = string(h.Value)
		}
	}
	return headers
}

// The names and values are those of org.apache.kafka.connect.runtime.errors,
// DeadLetterQueueReporter and Stage.
func TestDeadLetterHasKafkaConnectsHeaders(t *testing.T) {
	c := cluster(t, 3, kfake.SeedTopics(1, "dead"))
	setLimit(t, c, "t", "1000")
	o := started(t, c.ListenAddrs(), "compression: none", deadLetter, "key: ${! @key }", "metadata: { include_prefixes: [ h_ ] }", "timestamp_ms: 1700000000123")
	large := strings.Repeat("x", 3000)
	msg := service.NewMessage([]byte(large))
	msg.MetaSetMut("key", "k")
	msg.MetaSetMut("h_one", "1")
	require.NoError(t, o.WriteBatch(t.Context(), service.MessageBatch{msg}))

	letters := consumed(t, c, "dead")[0]
	require.Len(t, letters, 1)
	r := letters[0]
	require.Equal(t, large, string(r.Value))
	require.Equal(t, "k", string(r.Key))
	require.Equal(t, int64(1700000000123), r.Timestamp.UnixMilli())
	require.Equal(t, kgo.RecordHeader{Key: "h_one", Value: []byte("1")}, r.Headers[0])
	require.Len(t, r.Headers, 11)
	headers := connectHeaders(r)
	require.Contains(t, headers["exception.message"], "MESSAGE_TOO_LARGE")
	require.Contains(t, headers["exception.message"], "raise max.message.bytes of the topic, which is 1000")
	require.Equal(t, "org.apache.kafka.common.errors.RecordTooLargeException: "+headers["exception.message"], headers["exception.stacktrace"])
	require.Contains(t, []string{"0", "1", "2"}, headers["partition"])
	for _, name := range []string{"exception.message", "exception.stacktrace", "partition"} {
		delete(headers, name)
	}
	require.Equal(t, map[string]string{
		"topic": "t", "offset": "-1", "connector.name": "kafka_franz", "task.id": "0", "stage": "KAFKA_PRODUCE",
		"class.name": "kafka_franz", "exception.class.name": "org.apache.kafka.common.errors.RecordTooLargeException",
	}, headers)
}

// A record that exceeds the output's own limit may still be written as a dead letter.
func TestDeadLetterIsLimitedOnlyByItsTopic(t *testing.T) {
	c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
	setLimit(t, c, "dead", "100000")
	o := started(t, c.ListenAddrs(), "compression: none", deadLetter, "max_message_bytes: 1KiB", `max_buffered_bytes: "2KiB"`)
	large := strings.Repeat("x", 3000)
	batch := messages(0, 3)
	batch[1] = service.NewMessage([]byte(large))
	require.NoError(t, o.WriteBatch(t.Context(), batch))
	require.Equal(t, []string{"000000", "000002"}, values(t, c, "t"))
	require.Equal(t, []string{large}, values(t, c, "dead"))
}

// A dead letter that cannot be written is the last copy of its record.
func TestRefusedDeadLetterHoldsTheBatch(t *testing.T) {
	c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
	setLimit(t, c, "t", "1000")
	setLimit(t, c, "dead", "2000")
	o := started(t, c.ListenAddrs(), "compression: none", deadLetter)
	large := strings.Repeat("x", 3000)
	batch := messages(0, 5)
	batch[2] = service.NewMessage([]byte(large))
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	text := reason(t, o)
	require.Contains(t, text, `writing message 3 of 5 to topic "t", partition 0: MESSAGE_TOO_LARGE`)
	require.Contains(t, text, `writing it to the dead letter topic "dead": MESSAGE_TOO_LARGE`)
	require.Regexp(t, `raise max.message.bytes of the topic, which is 2000$`, text)
	require.Equal(t, numbers(0, 2), values(t, c, "t"))
	setLimit(t, c, "dead", "100000")
	rewrite(t, o, batch)
	require.Equal(t, []string{"000000", "000001", "000003", "000004"}, values(t, c, "t"))
	require.Equal(t, []string{large}, values(t, c, "dead"))
}

// The dead letters' own Kafka is unavailable when the first one is written.
func TestDeadLettersOnAnotherKafka(t *testing.T) {
	c := cluster(t, 1)
	setLimit(t, c, "t", "1000")
	other, g := gated(t, kfake.SeedTopics(1, "dead"))
	address := other.ListenAddrs()[0]
	g.Cut()
	o := started(t, c.ListenAddrs(), "compression: none", "request_timeout_overhead: 300ms", "timeout: 300ms",
		fmt.Sprintf("failure_strategy: { strategy: dead_message_queue, topic_name: dead, retry_total_times: 1, wait_time_ms: 1, bootstrap_servers: %q }", address))
	o.silence = 100 * time.Millisecond
	tested := o.ConnectionTest(t.Context())
	require.Len(t, tested, 1)
	require.ErrorContains(t, tested[0].Err, "dead letters: reaching Kafka at "+address)
	large := strings.Repeat("x", 3000)
	batch := messages(0, 5)
	batch[2] = service.NewMessage([]byte(large))
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	require.Contains(t, reason(t, o), "reaching Kafka at "+address)
	require.Equal(t, numbers(0, 2), values(t, c, "t"))
	g.Restore()
	rewrite(t, o, batch)
	require.Equal(t, []string{"000000", "000001", "000003", "000004"}, values(t, c, "t"))
	require.Equal(t, []string{large}, values(t, other, "dead"))
}

// A message with a failed processor has neither the key nor the topic that the
// processor would have set; its origin is in its metadata.
func TestDeadLetterOfAFailedMessageHasItsMetadata(t *testing.T) {
	c := cluster(t, 1, kfake.SeedTopics(1, "dead"))
	o := started(t, c.ListenAddrs(), "topic: ${! @kafka_topic }", "key: ${! @kafka_key }", deadLetter)
	msg := service.NewMessage([]byte("raw"))
	msg.MetaSetMut("mqtt_topic", "a/b")
	msg.SetError(errors.New("encoding qos: want 0, 1 or 2"))
	require.NoError(t, o.WriteBatch(t.Context(), service.MessageBatch{msg}))
	r := consumed(t, c, "dead")[0][0]
	require.Equal(t, "raw", string(r.Value))
	require.Nil(t, r.Key)
	require.Equal(t, kgo.RecordHeader{Key: "mqtt_topic", Value: []byte("a/b")}, r.Headers[0])
	headers := connectHeaders(r)
	require.Empty(t, headers["topic"])
	require.Equal(t, "-1", headers["partition"])
	require.Equal(t, "org.apache.kafka.connect.errors.DataException", headers["exception.class.name"])
	require.Contains(t, headers["exception.message"], "encoding qos: want 0, 1 or 2")
}
