package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

const createSource = `{"connector_name":"replay","connector_type":"kafka_source","tenant":"default","topic_name":"replay/${! @mqtt_topic }","failure_strategy":"{\"strategy\":\"block\"}","config":"{\"bootstrap_servers\":\"127.0.0.1:1\",\"topic\":\"t\"}"}`

// The settings of the service for messages that it receives are not those of a
// connector that publishes.
func TestServeRunsASourceWithItsDefaultFlags(t *testing.T) {
	s := startServe(t, "--store", t.TempDir(), "--drain-timeout", "100ms", "--mqtt-url", "tcp://127.0.0.1:1")
	assert.Contains(t, s.do("POST", "/api/cluster/connector/create", createSource), `"success"`)
	assert.Contains(t, s.do("GET", "/api/cluster/connector/list", ""), `"connector_name":"replay"`)
	s.end()
}
