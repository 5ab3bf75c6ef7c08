package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeyAndTopicAreEvaluatedOnTheMessage(t *testing.T) {
	r := newExampleRig(t, "events_alarm")
	logs := r.start(`
input:
  robustmq_kafka: { topic_id: events/#, urls: [ tcp://localhost:1883 ] }
output:
  robustmq_kafka:
    bootstrap_servers: localhost:9092
    topic: events_${! json("type") }
    key: ${! json("device") }
    failure_strategy: discard
`)
	r.subscribed("events/#")
	r.publish("events/1", `{"type":"alarm","device":"d-1"}`, "events/2", `{"type":"alarm","device":"d-2"}`)
	var keys []string
	for _, record := range r.records("events_alarm", 2) {
		keys = append(keys, string(record.Key))
	}
	assert.ElementsMatch(t, []string{"d-1", "d-2"}, keys)

	// A message without key and topic is handled by the strategy and logged, and not
	// written as something else.
	r.publish("events/3", "no JSON")
	require.Eventually(t, func() bool { return strings.Contains(logs.String(), "evaluating field key") }, exampleTimeout, 10*time.Millisecond)
	r.records("events_alarm", 2)
}
