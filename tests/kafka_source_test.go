package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// record writes a record with an MQTT topic in its headers.
func (g *gitops) record(topic, mqttTopic, value string) {
	g.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(g.kafka))
	require.NoError(g.t, err)
	defer client.Close()
	require.NoError(g.t, client.ProduceSync(g.t.Context(), &kgo.Record{
		Topic: topic, Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "mqtt_topic", Value: []byte(mqttTopic)}},
	}).FirstErr())
}

func (g *gitops) detail(name string) (d admin.Detail) {
	g.t.Helper()
	require.NoError(g.t, json.Unmarshal([]byte(g.must("detail", "-c", name, "--output", "json")), &d))
	return d
}

// The commands of an operator, for a connector from Kafka to MQTT.
func TestAnOperatorRunsAConnectorFromKafkaToMQTT(t *testing.T) {
	g := newGitops(t)
	g.limit("in", "100000") // creates it
	config := fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"in","format":"raw"}`, g.kafka)
	definition := []string{"-n", "back", "-t", "kafka_source", "--config", config, "--topic-id", "out/${! @mqtt_topic }"}

	assert.Equal(t, "kafka: OK\nmqtt: OK\n", g.must(append([]string{"check"}, definition...)...))
	wrong := append([]string{"check"}, definition...)
	wrong[len(wrong)-3] = strings.Replace(config, g.kafka, program.FreeAddress(t), 1)
	r := g.connector(wrong...)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "kafka: ")
	assert.Contains(t, r.Stderr, "connection refused")
	assert.Equal(t, "mqtt: OK\n", r.Stdout)
	g.must(append([]string{"create"}, definition...)...)
	g.until(map[string]string{"back": "Running"})
	assert.Contains(t, g.must("list"), "kafka_source")
	r = g.connector("preview", "-n", "back", "--topic", "a", "--payload", "x")
	assert.NotZero(t, r.Code)
	assert.Contains(t, r.Stderr, "a kafka_source has no preview")
	watching := exec.Command(program.Path(t), "mqtt", "connector", "tail", "-c", "back")
	watching.Env = append(os.Environ(), "ROBUSTMQ_API_URL="+g.server)
	tail := program.StartCommand(t, g.server, watching)
	written := 0
	require.Eventually(t, func() bool {
		g.record("in", "a/b", "21.5") // until the tail is there to see it
		written++
		return strings.Contains(tail.Output(), "in/0@")
	}, exampleTimeout, 100*time.Millisecond, "%s", tail.Output())
	assert.Regexp(t, `^\S+ \S+ in/0@\d+: 21\.5\n`, tail.Output())

	var last admin.Detail
	require.Eventually(t, func() bool {
		last = g.detail("back")
		return last.SendSuccessTotal == int64(written) && len(last.Lag) == 1 && last.Lag[0].Records == 0
	}, exampleTimeout, 100*time.Millisecond, "%+v", &last)
	assert.Equal(t, "kafka_source", last.ConnectorType)
	assert.Equal(t, "out/${! @mqtt_topic }", last.TopicName)
	r = g.connector("dead-letters", "list", "-c", "back")
	assert.NotZero(t, r.Code)
	assert.Contains(t, r.Stderr, "whose dead letters are MQTT messages")
	r = g.connector("dead-letters", "replay", "-c", "back", "--all")
	assert.NotZero(t, r.Code)
	assert.Contains(t, r.Stderr, "whose dead letters are MQTT messages")

	g.must("update", "-n", "back", "--topic-id", "elsewhere/${! @mqtt_topic }")
	assert.Equal(t, "elsewhere/${! @mqtt_topic }", g.detail("back").TopicName)
	assert.NotZero(t, g.connector("update", "-n", "back", "--topic-id", "a/#").Code)
	g.must("pause", "-c", "back")
	g.until(map[string]string{"back": "Paused"})
	g.must("resume", "-c", "back")
	g.until(map[string]string{"back": "Running"})
	g.must("delete", "-c", "back")
	tail.WaitLog(`tailing connector "back": the connector was deleted`)
	require.Eventually(t, tail.Ended, time.Minute, 10*time.Millisecond)
	assert.Empty(t, g.states())
}
