//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRoundTripGivesBackTheSameBytes sends random messages through MQTT → Kafka
// and Kafka → MQTT. The QoS travels back as a level of the topic.
func TestRoundTripGivesBackTheSameBytes(t *testing.T) {
	const messages = 10_000
	shared.createTopic(t, "round_trip", 1)
	there := startPipeline(t, fmt.Sprintf(`
input:
  robustmq_kafka: { topic_id: there/#, urls: [ %s ], client_id: there, qos: 2 }
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: round_trip }
`, mqttURL, brokers))
	back := startPipeline(t, fmt.Sprintf(`
input:
  kafka_franz: { seed_brokers: [ %q ], topics: [ round_trip ], consumer_group: back }
pipeline:
  processors:
    - robustmq_envelope: { operator: decode }
output:
  reject_errored:
    retry:
      output:
        mqtt:
          urls: [ %s ]
          client_id: back
          topic: back/${! @mqtt_qos }/${! @mqtt_retained }/${! @kafka_key == @mqtt_topic }/${! @mqtt_topic }
          qos: 1
          max_in_flight: 1
          write_timeout: 60s
`, brokers, mqttURL))
	there.WaitReady()
	back.WaitReady()

	got := make(chan paho.Message, messages)
	subscriber := mqttClient(t, mqttURL, "subscriber")
	token := subscriber.Subscribe("back/#", 1, func(_ paho.Client, m paho.Message) { got <- m })
	require.True(t, token.WaitTimeout(time.Minute))
	require.NoError(t, token.Error())

	random := rand.New(rand.NewPCG(1, 2))
	type sent struct {
		topic   string
		qos     byte
		payload []byte
	}
	wanted := make([]sent, messages)
	publisher := mqttClient(t, mqttURL, "random-publisher")
	for i := range wanted {
		payload := make([]byte, random.IntN(300))
		for j := range payload {
			payload[j] = byte(random.UintN(256))
		}
		s := sent{topic: "there/" + randomTopic(random), qos: byte(1 + random.IntN(2)), payload: payload}
		wanted[i] = s
		token := publisher.Publish(s.topic, s.qos, false, payload)
		// mosquitto takes 20 unfinished QoS 2 messages of a client, and leaves
		// further ones waiting.
		if i%10 == 9 {
			require.True(t, token.WaitTimeout(time.Minute), "message %d to %q", i, s.topic)
			require.NoError(t, token.Error())
		}
	}
	// Without their order, since mosquitto 2.0 itself lets a message overtake when a
	// QoS 2 subscription's window is full. The order is the other test's.
	byTopic := map[string][][]byte{}
	for _, s := range wanted {
		key := fmt.Sprintf("back/%d/false/true/%s", s.qos, s.topic)
		byTopic[key] = append(byTopic[key], s.payload)
	}
	// Kafka is read as well, so that a failure names the hop that caused it.
	require.Eventually(t, func() bool { return shared.recordCount(t, "round_trip") >= messages }, time.Minute, 100*time.Millisecond)
	inKafka := map[string][][]byte{}
	shared.readWithKcat(t, "round_trip", func(_ string, value []byte) {
		e := strictEnvelope(t, value)
		key := fmt.Sprintf("back/%d/false/true/%s", e.QoS, e.Topic)
		inKafka[key] = append(inKafka[key], e.Payload)
	})
	for topic, payloads := range byTopic {
		require.ElementsMatch(t, payloads, inKafka[topic], "in Kafka, of %s", topic)
	}

	for range wanted {
		select {
		case m := <-got:
			queue := byTopic[m.Topic()]
			at := slices.IndexFunc(queue, func(p []byte) bool { return bytes.Equal(p, m.Payload()) })
			require.GreaterOrEqual(t, at, 0, "nobody sent %q to %q, or not that often", m.Payload(), m.Topic())
			byTopic[m.Topic()] = slices.Delete(queue, at, at+1)
		case <-time.After(time.Minute):
			require.Fail(t, "messages are missing")
		}
	}
	for topic, queue := range byTopic {
		assert.Empty(t, queue, topic)
	}
	t.Logf("%d messages over %d topics came back", messages, len(byTopic))
}

// randomTopic makes levels of everything that JSON must escape and MQTT allows.
func randomTopic(random *rand.Rand) string {
	letters := []rune("abcXYZ019 \"\\'{}[]<>&éß中🚀\u2028\u2029$%~")
	var topic []rune
	for level := range 1 + random.IntN(3) {
		if level > 0 {
			topic = append(topic, '/')
		}
		for range random.IntN(4) {
			topic = append(topic, letters[random.IntN(len(letters))])
		}
	}
	return string(topic)
}
