package connector

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

func pipelineOf(t *testing.T, given string) (Connector, string, []string) {
	t.Helper()
	c, err := Parse([]byte(given))
	require.NoError(t, err)
	document, notes := Pipeline(c)
	assertRendered(t, c, document)
	return c, string(document), notes
}

// assertRendered reads the pipeline back: its strings must be the connector's, and it
// must not contain a variable, not even in comments.
func assertRendered(t *testing.T, c Connector, document []byte) {
	t.Helper()
	var p struct {
		Input, Output struct {
			RobustMQKafka map[string]any `yaml:"robustmq_kafka"`
		}
	}
	require.NoError(t, yaml.Unmarshal(document, &p), "%s", document)
	assert.Equal(t, c.TopicID, p.Input.RobustMQKafka["topic_id"])
	out := p.Output.RobustMQKafka
	assert.Equal(t, c.Kafka.BootstrapServers, out["bootstrap_servers"])
	assert.Equal(t, c.Kafka.Topic, out["topic"])
	if key, written := out["key"]; written {
		assert.Equal(t, *c.Kafka.Key, key)
	}
	assert.NotContains(t, strings.ReplaceAll(string(document), "${!", ""), "${")
}

func TestPipelineOfTheDocumentedConnector(t *testing.T) {
	_, document, notes := pipelineOf(t, documented)
	assert.Equal(t, `# RobustMQ connector kafka_connector_01
input:
  label: kafka_connector_01
  robustmq_kafka:
    topic_id: sensor/data
output:
  robustmq_kafka:
    bootstrap_servers: localhost:9092
    topic: mqtt_messages
    key: sensor_data
`, document)
	assert.Empty(t, notes)
}

func TestPipelineOmitsRobustMQsDefaults(t *testing.T) {
	_, document, notes := pipelineOf(t, listed)
	assert.Equal(t, `# RobustMQ connector k1
input:
  label: k1
  robustmq_kafka:
    topic_id: sensor/data
output:
  robustmq_kafka:
    bootstrap_servers: 127.0.0.1:19092
    topic: rmq_k1
`, document)
	require.Len(t, notes, 1)
	assert.Contains(t, notes[0], `key "", compression_type "none", batch_size 16384, linger_ms 5, acks "1", `+
		`retries 3, message_timeout_ms 30000, cleanup_timeout_secs 10; the defaults of robustmq_kafka apply`)
	assert.Contains(t, notes[0], "acks is all")
	assert.Contains(t, notes[0], "the key is the MQTT topic")
}

func TestPipelineKeepsWhatDiffersFromRobustMQsDefaults(t *testing.T) {
	_, document, notes := pipelineOf(t, withConfig(
		`{"Kafka":{"bootstrap_servers":"h:1","topic":"t","key":"k","compression_type":"zstd","batch_size":1,"acks":"all","retries":5}}`))
	assert.Contains(t, document, `    key: k
    compression_type: zstd
    batch_size: 1
    acks: all
    retries: 5
`)
	assert.Empty(t, notes)
}

func TestPipelineWritesTheUsersSettingsEvenIfTheyAreDefaults(t *testing.T) {
	_, document, notes := pipelineOf(t, withKafka(
		`"key":"","compression_type":"none","batch_size":16384,"acks":"-1","retries":3,"message_timeout_ms":30000,"cleanup_timeout_secs":10`))
	assert.Contains(t, document, `    key: ""
    compression_type: none
    batch_size: 16384
    acks: "-1"
    retries: 3
    message_timeout_ms: 30000
    cleanup_timeout_secs: 10
`)
	assert.Empty(t, notes)
}

func TestPipelineNotesWhatWeakAcksGiveUp(t *testing.T) {
	for acks, want := range map[string]string{
		"0": "Kafka confirms nothing, so what it loses or refuses is lost without notice",
		"1": "what one Kafka broker confirmed is lost with that broker",
	} {
		_, document, notes := pipelineOf(t, withKafka(`"acks":"`+acks+`"`))
		assert.Contains(t, document, "    acks: \""+acks+"\"\n    idempotent_write: false\n")
		require.Len(t, notes, 1)
		assert.Contains(t, notes[0], want)
	}
}

func TestPipelineWritesTheConfiguredLinger(t *testing.T) {
	for _, given := range []string{
		withKafka(`"linger_ms":20`),
		withConfig(`{"Kafka":{"bootstrap_servers":"h:1","topic":"t","linger_ms":20}}`),
	} {
		_, document, notes := pipelineOf(t, given)
		assert.Contains(t, document, "    linger_ms: 20\n")
		assert.Empty(t, notes)
	}
}

func TestPipelineHasTheFailureStrategy(t *testing.T) {
	for given, want := range map[string]string{
		`{"strategy":"block"}`:   "      strategy: block\n",
		`{"strategy":"discard"}`: "      strategy: discard\n",
		`{"strategy":"discard","retry_total_times":3,"wait_time_ms":null}`: "      strategy: discard\n",
		`{"strategy":"discard_after_retry","retry_total_times":5,"wait_time_ms":0}`: `      strategy: discard_after_retry
      retry_total_times: 5
      wait_time_ms: 0
`,
		`{"strategy":"dead_message_queue","topic_name":"dlq","bootstrap_servers":"h:2"}`: `      strategy: dead_message_queue
      retry_total_times: 3
      wait_time_ms: 1000
      topic_name: dlq
      bootstrap_servers: h:2
`,
	} {
		_, document, notes := pipelineOf(t, withStrategy(given))
		_, strategy, _ := strings.Cut(document, "    failure_strategy:\n")
		assert.Equal(t, want, strategy)
		assert.Empty(t, notes)
	}
}

// A dead letter names its connector by the label of the output.
func TestPipelineGivesDeadLettersTheirConnector(t *testing.T) {
	_, document, _ := pipelineOf(t, withStrategy(`{"strategy":"dead_message_queue"}`))
	assert.Contains(t, document, "output:\n  label: c\n")
	assert.Contains(t, document, "input:\n  label: c_mqtt\n")
}

func TestPipelineStringsSurviveYAML(t *testing.T) {
	given := []string{
		"123", "1e3", "true", "no", "null", "~", "", " lead", "trail ", "a: b", "a #b", "- x", "#x", "'q'", `"q"`,
		"@a", "%a", "!t", "&a", "*a", "|", ">", "{}", "[x]", "a\nb", "a\r\nb\n", "tab\t", "\u2028", "\u0085", "ü", "\x01", "🙂", `\`, "0x1f", "2001-01-01", "$HOME", "$(x)",
	}
	for _, s := range given {
		c := Connector{Name: s, TopicID: s, Kafka: Kafka{BootstrapServers: s, Topic: s, Key: &s}}
		document, _ := Pipeline(c)
		assertRendered(t, c, document)
	}
}

// A name with a line break would otherwise end the comment and start YAML; one with a
// variable would make the whole pipeline fail, because variables in comments are
// replaced too.
func TestPipelineNameStaysInItsComment(t *testing.T) {
	c := Connector{Name: "a\ninput: ${X}", TopicID: "t", Kafka: Kafka{BootstrapServers: "h:1", Topic: "t"}}
	document, _ := Pipeline(c)
	first, rest, _ := strings.Cut(string(document), "\n")
	assert.Equal(t, `# RobustMQ connector "a\ninput: $ {X}"`, first)
	assert.True(t, strings.HasPrefix(rest, "input:\n  label: connector_"))
}

func TestPipelineLabelsAreUnique(t *testing.T) {
	labels := map[string]bool{}
	for _, name := range []string{"k1", "K1", "k-1", "k 1", "1", "é", "ü", strings.Repeat("x", 128), strings.Repeat("X", 128)} {
		l := Label(name)
		assert.Regexp(t, `^[a-z][a-z0-9_]*$`, l)
		assert.False(t, labels[l], "%q is taken", l)
		labels[l] = true
	}
}
