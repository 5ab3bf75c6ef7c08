package connector

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func aSource(topic, config string) string {
	return `{"connector_name":"back","connector_type":"Kafka_Source","tenant":"default"` + topic + `,"config":` + config +
		`,"failure_strategy":{"strategy":"dead_message_queue","topic_name":"dead","retry_total_times":2,"wait_time_ms":5}}`
}

func TestPipelineOfASource(t *testing.T) {
	for topic, want := range map[string]string{
		"":                                  PublishTopic,
		`,"topic_name":""`:                  PublishTopic,
		`,"topic_id":"a/${! @mqtt_topic }"`: "a/${! @mqtt_topic }",
		`,"topic_id":"b","topic_name":"b"`:  "b",
	} {
		c, err := Parse([]byte(aSource(topic, `{"bootstrap_servers":"k:1","topic":"in"}`)))
		require.NoError(t, err, topic)
		assert.True(t, c.IsSource())
		assert.Equal(t, want, c.TopicID, topic)
		again, err := Parse(c.JSON())
		require.NoError(t, err)
		assert.Equal(t, c.JSON(), again.JSON())
	}
	c, err := Parse([]byte(aSource(`,"topic_name":"out"`,
		`{"bootstrap_servers":"k:1","topic":["a","b"],"format":"raw","start_offset":"latest","tls":{"enabled":true},"urls":["ssl://b:8883"],"client_id":"bridge","qos":2,"retain":"true","mqtt_tls":{"enabled":true}}`)))
	require.NoError(t, err)
	document, notes := Pipeline(c)
	assert.Empty(t, notes)
	assert.Equal(t, `# RobustMQ connector back
input:
  label: back_kafka
  robustmq_kafka_source:
    bootstrap_servers: k:1
    group_id: robustmq_connect_back
    topic:
      - a
      - b
    start_offset: latest
    format: raw
    tls:
      enabled: true
output:
  label: back
  robustmq_mqtt:
    topic: out
    urls:
      - ssl://b:8883
    client_id: bridge
    qos: 2
    retain: "true"
    tls:
      enabled: true
    failure_strategy:
      strategy: dead_message_queue
      retry_total_times: 2
      wait_time_ms: 5
      topic_name: dead
`, string(document))
}

func TestASourceHasNoSettingsOfASubscription(t *testing.T) {
	setting := func(name string) Setting { return Setting{Name: name, Value: []byte(`"1"`)} }
	side := Settings{setting("urls"), setting("max_payload_bytes"), setting("tls"), setting("clean_session"), setting("password")}
	assert.Equal(t, Settings{setting("urls"), setting("tls"), setting("password")}, PublishingSettings(side))
	assert.Len(t, side, 5)
}

// As in a connector of type kafka, the Kafka of dead letters is reached as that of the
// records is.
func TestDeadLettersOfASourceHaveItsLogin(t *testing.T) {
	letters := func(config, servers string) string {
		c, err := Parse([]byte(`{"connector_name":"back","connector_type":"kafka_source","tenant":"default","config":` + config +
			`,"failure_strategy":{"strategy":"dead_message_queue","topic_name":"dead"` + servers + `}}`))
		require.NoError(t, err)
		document, _ := Pipeline(c)
		return string(document)
	}
	const secured = `{"bootstrap_servers":"k:1","topic":"in","tls":{"enabled":true},"sasl":[{"mechanism":"PLAIN","username":"u","password":"p"}]}`
	assert.Contains(t, letters(secured, `,"bootstrap_servers":"d:1"`), `      bootstrap_servers: d:1
    dead_letter_kafka:
      tls:
        enabled: true
      sasl:
        - mechanism: PLAIN
          username: u
          password: p
`)
	assert.NotContains(t, letters(secured, ""), "dead_letter_kafka", "they are MQTT messages")
	assert.NotContains(t, letters(`{"bootstrap_servers":"k:1","topic":"in"}`, `,"bootstrap_servers":"d:1"`), "dead_letter_kafka")
}

func TestSourceSecretsAreHiddenAndKept(t *testing.T) {
	stored, err := Parse([]byte(aSource("", `{"bootstrap_servers":"k:1","topic":"in","username":"u","password":"mqtt-secret","sasl":[{"mechanism":"PLAIN","username":"u","password":"kafka-secret"}]}`)))
	require.NoError(t, err)
	shown := Redact(stored)
	assert.NotContains(t, string(shown.JSON()), "secret")
	kept, err := KeepSecrets(shown, stored)
	require.NoError(t, err)
	assert.Contains(t, string(kept.Config), "mqtt-secret")
	assert.Contains(t, string(kept.Config), "kafka-secret")
	shown.Kafka.BootstrapServers = "elsewhere:1"
	_, err = KeepSecrets(shown, stored)
	require.ErrorContains(t, err, "config.bootstrap_servers changes that")
	document, _, variables := Export(stored)
	assert.NotContains(t, string(document), "secret")
	assert.Len(t, variables, 2)
}

func TestParseRefusesWrongSources(t *testing.T) {
	for config, want := range map[string]string{
		`{"topic":"in"}`: "config.bootstrap_servers: missing",
		`{"bootstrap_servers":"k:1","topic":"in","key":"k"}`:          `config: unknown field "key"`,
		`{"bootstrap_servers":"k:1","topic":"${HOME}"}`:               "config.topic: ",
		`{"bootstrap_servers":"k:1","topic":"in","retain":"${! 1 }"}`: "config.retain: ",
		`{"bootstrap_servers":"k:1","urls":["tcp://a:b@c:1"]}`:        "config.urls.0: ",
		`{"Kafka":{"bootstrap_servers":"k:1","topic":"in"}}`:          "config.bootstrap_servers: missing",
	} {
		_, err := Parse([]byte(aSource("", config)))
		require.ErrorContains(t, err, want, config)
	}
	_, err := Parse([]byte(aSource(`,"topic_id":"a","topic_name":"b"`, `{"bootstrap_servers":"k:1","topic":"in"}`)))
	require.ErrorContains(t, err, `topic_name: "b" conflicts with topic_id "a"`)
	_, err = Parse([]byte(aSource(`,"topic_name":"${HOME}"`, `{"bootstrap_servers":"k:1","topic":"in"}`)))
	require.ErrorContains(t, err, "topic_name: ")
}
