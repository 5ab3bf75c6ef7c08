package kafka

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// watched is a connected output that somebody looks at.
func watched(t *testing.T, brokers []string, lines ...string) (*output, *tail.Reader) {
	t.Helper()
	var hub tail.Hub
	resources, feed := service.MockResources(), hub.NewFeed()
	tail.Put(resources, feed)
	o := newOutput(parsed(t, brokers, lines...), resources)
	o.silence, o.patience = time.Second, time.Second
	t.Cleanup(func() { require.NoError(t, o.Close(context.Background())) })
	require.NoError(t, o.Connect(t.Context()))
	require.NoError(t, o.WriteBatch(t.Context(), messages(0, 1))) // before anybody looks
	r, err := feed.Open(tail.MaxLast)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return o, r
}

func mqttMessage(payload string) *service.Message {
	msg := service.NewMessage([]byte(payload))
	msg.MetaSetMut("mqtt_topic", "sensors/1")
	msg.MetaSetMut("mqtt_qos", 1)
	msg.MetaSetMut("mqtt_retained", true)
	msg.MetaSetMut("mqtt_timestamp_ms", time.Now().Add(-2*time.Second).UnixMilli())
	return msg
}

func TestATailShowsWhatBecameOfEachMessage(t *testing.T) {
	for _, test := range []struct {
		lines   []string
		outcome string
	}{
		{[]string{discard}, "discarded"},
		{[]string{deadLetter}, "dead_lettered"},
		{nil, "rejected"},
	} {
		c := cluster(t, 1)
		createTopic(t, c, "dead")
		setLimit(t, c, "t", "2000")
		o, r := watched(t, c.ListenAddrs(), append(test.lines, `key: ${! @mqtt_topic }`, "compression: none")...)
		large := strings.Repeat("x", 5000)
		batch := service.MessageBatch{mqttMessage("one"), mqttMessage(large), mqttMessage("three")}
		err := o.WriteBatch(t.Context(), batch)
		require.Equal(t, test.outcome == "rejected", err != nil)
		var got []tail.Message
		for range 3 {
			m := <-r.Messages
			assert.WithinDuration(t, time.Now().Add(-2*time.Second), m.Received, time.Minute)
			assert.GreaterOrEqual(t, m.Latency, 2*time.Second)
			m.Received, m.Latency = time.Time{}, 0
			got = append(got, m)
		}
		want := func(payload string, offset int64) tail.Message {
			return tail.Message{
				Topic: "sensors/1", QoS: 1, Retain: true, Payload: excerpt.Of([]byte(payload)), Value: excerpt.Of([]byte(payload)),
				Key: excerpt.Of([]byte("sensors/1")), KafkaTopic: "t", Partition: 0, Offset: offset, Outcome: "sent",
			}
		}
		assert.Equal(t, want("one", 1), got[0])
		assert.Equal(t, want("three", 2), got[2])
		assert.Contains(t, got[1].Reason, "MESSAGE_TOO_LARGE")
		lost := want(large, -1)
		lost.Partition, lost.Outcome, lost.Reason = -1, test.outcome, got[1].Reason
		assert.True(t, assert.ObjectsAreEqual(lost, got[1]), "%s %d %d", got[1].Outcome, got[1].Partition, got[1].Offset)
		assert.Len(t, got[1].Payload.Data, excerpt.Max)
		assert.Empty(t, r.Messages)
	}
}

func TestATailOfEnvelopesShowsPayloadAndValue(t *testing.T) {
	c := cluster(t, 1)
	o, r := watched(t, c.ListenAddrs(), block("envelope: { enabled: true }")...)
	require.NoError(t, o.WriteBatch(t.Context(), service.MessageBatch{mqttMessage("one")}))
	m := <-r.Messages
	assert.Equal(t, excerpt.Of([]byte("one")), m.Payload)
	value, isText := m.Value.Text()
	assert.True(t, isText)
	assert.Contains(t, value, `"payload":"b25l"`)
	assert.Equal(t, excerpt.Excerpt{}, m.Key, "no key")
}

func TestATailKnowsNoOffsetThatKafkaDidNotConfirm(t *testing.T) {
	c := cluster(t, 1)
	o, r := watched(t, c.ListenAddrs(), "acks: none", "idempotent_write: false")
	require.NoError(t, o.WriteBatch(t.Context(), messages(1, 1)))
	m := <-r.Messages
	assert.Equal(t, "sent", m.Outcome)
	assert.Equal(t, int32(-1), m.Partition)
	assert.Equal(t, int64(-1), m.Offset)
	assert.True(t, m.Received.IsZero(), "it is none of MQTT")
}

// A batch that is held is shown once, when it is in Kafka.
func TestATailShowsABatchThatWasHeldOnce(t *testing.T) {
	c := cluster(t, 1)
	setLimit(t, c, "t", "2000")
	o, r := watched(t, c.ListenAddrs(), block("compression: none")...)
	batch := service.MessageBatch{mqttMessage("one"), mqttMessage(strings.Repeat("x", 5000))}
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	assert.Empty(t, r.Messages)
	setLimit(t, c, "t", "20000")
	rewrite(t, o, batch)
	assert.Len(t, r.Messages, 2)
}
