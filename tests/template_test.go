package tests

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The content is an envelope by the time at which Kafka's key and topic are
// needed; they used to be looked up in it.
func TestKeyAndTopicAreEvaluatedOnTheMessage(t *testing.T) {
	r := newExampleRig(t, "events_alarm")
	r.start(`
input:
  robustmq_kafka: { topic_id: events/#, urls: [ tcp://localhost:1883 ] }
output:
  robustmq_kafka:
    bootstrap_servers: localhost:9092
    topic: events_${! json("type") }
    key: ${! json("device") }
`)
	r.subscribed("events/#")
	// The one that is no JSON has neither key nor topic, and holds up nobody.
	r.publish("events/1", `{"type":"alarm","device":"d-1"}`, "events/2", "no JSON", "events/3", `{"type":"alarm","device":"d-3"}`)
	var keys []string
	for _, record := range r.records("events_alarm", 2) {
		keys = append(keys, string(record.Key))
	}
	assert.ElementsMatch(t, []string{"d-1", "d-3"}, keys)
}
