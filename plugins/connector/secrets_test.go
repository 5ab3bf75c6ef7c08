package connector

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/robustmq"
	"github.com/robustmq/robustmq-connect/templates"
)

const withSecrets = `"urls":["ssl://h:8883"],"client_id":"me","username":"ada","password":"mqtt-pw","qos":2,` +
	`"mqtt_tls":{"enabled":true,"client_certs":[{"cert_file":"c.pem","key":"mqtt-key"}]},` +
	`"tls":{"enabled":true,"client_certs":[{"cert":"c","key":"kafka-key","password":"key-pw"}]},` +
	`"sasl":[{"mechanism":"PLAIN","username":"bob","password":"sasl-pw"},{"mechanism":"OAUTHBEARER","token":"tok"},` +
	`{"mechanism":"AWS_MSK_IAM","aws":{"credentials":{"id":"i","secret":"aws-secret"}}}],"format":"raw","key":"not-a-secret"`

var allSecrets = []string{"mqtt-pw", "mqtt-key", "kafka-key", "key-pw", "sasl-pw", "tok", "aws-secret"}

func parsed(t *testing.T, given string) Connector {
	t.Helper()
	c, err := Parse([]byte(given))
	require.NoError(t, err)
	return c
}

func TestSettingsOfBothTemplatesReachThePipeline(t *testing.T) {
	document, notes := Pipeline(parsed(t, withKafka(withSecrets)))
	assert.Empty(t, notes)
	assert.Equal(t, `# RobustMQ connector c
input:
  label: c
  robustmq_kafka:
    topic_id: a/b
    urls:
      - ssl://h:8883
    client_id: me
    username: ada
    password: mqtt-pw
    qos: 2
    tls:
      enabled: true
      client_certs:
        - cert_file: c.pem
          key: mqtt-key
output:
  robustmq_kafka:
    bootstrap_servers: localhost:9092
    topic: t
    key: not-a-secret
    format: raw
    tls:
      enabled: true
      client_certs:
        - cert: c
          key: kafka-key
          password: key-pw
    sasl:
      - mechanism: PLAIN
        username: bob
        password: sasl-pw
      - mechanism: OAUTHBEARER
        token: tok
      - mechanism: AWS_MSK_IAM
        aws:
          credentials:
            id: i
            secret: aws-secret
`, string(document))
}

// Every field that a template has must be allowed in a connector's config.
func TestEveryFieldOfTheTemplatesCanBeSet(t *testing.T) {
	texts, err := templates.YAML()
	require.NoError(t, err)
	names := make([]string, len(robustmq.Fields))
	for i, f := range robustmq.Fields {
		names[i] = f.Name
	}
	for name, known := range map[string][]string{
		// The service sets max_payload_bytes, and oversized_payload follows from the failure strategy.
		"robustmq_kafka_input.tmpl.yaml":  append([]string{"topic_id", "tls", "max_payload_bytes", "oversized_payload", "disk_buffer"}, MQTTFields...),
		"robustmq_kafka_output.tmpl.yaml": append(append([]string{"failure_strategy"}, kafkaFields...), names...),
	} {
		var template struct{ Fields []struct{ Name string } }
		require.NoError(t, yaml.Unmarshal([]byte(texts[name]), &template))
		require.GreaterOrEqual(t, len(template.Fields), 10, name)
		for _, field := range template.Fields {
			assert.True(t, slices.Contains(known, field.Name), "%s: %s", name, field.Name)
		}
	}
}

func TestRedactConfigShowsNoSecret(t *testing.T) {
	for _, given := range []string{
		`{"bootstrap_servers":"h:1","topic":"t",` + withSecrets + `}`,
		`{"Kafka":{"bootstrap_servers":"h:1","topic":"t",` + withSecrets + `}}`,
	} {
		shown := string(RedactConfig(json.RawMessage(given)))
		for _, secret := range allSecrets {
			assert.NotContains(t, shown, `"`+secret+`"`)
		}
		assert.Equal(t, len(allSecrets), strings.Count(shown, `"***"`))
		assert.Contains(t, shown, `"key":"not-a-secret"`)
		assert.Contains(t, shown, `"username":"bob"`)
	}
	assert.Equal(t, `"***"`, string(RedactConfig(json.RawMessage(`{"password":"x`))))
}

func TestExportReadsSecretsFromTheEnvironment(t *testing.T) {
	document, _, variables := Export(parsed(t, withKafka(withSecrets)))
	for _, secret := range allSecrets {
		assert.NotContains(t, string(document), ": "+secret+"\n")
	}
	names := make([]string, len(variables))
	for i, v := range variables {
		names[i] = v.Name
		assert.Contains(t, string(document), `"${`+v.Name+`}"`)
	}
	assert.Equal(t, []string{
		"MQTT_PASSWORD", "MQTT_TLS_CLIENT_CERTS_KEY", "KAFKA_TLS_CLIENT_CERTS_KEY", "KAFKA_TLS_CLIENT_CERTS_PASSWORD",
		"KAFKA_SASL_PASSWORD", "KAFKA_SASL_TOKEN", "KAFKA_SASL_AWS_CREDENTIALS_SECRET",
	}, names)
	assert.Equal(t, "sasl.0.password", variables[4].Field)
}

// A secret is recognized by its field, for any type of its value.
func TestSecretsOfEveryTypeAreRedactedKeptAndExported(t *testing.T) {
	const given = `"username":"ada","password":12345678,"sasl":[{"mechanism":"OAUTHBEARER","token":987654,"extensions":{"logicalCluster":"lkc-1","identity pool":"p-2"}}]`
	stored := parsed(t, withKafka(given))
	shown := string(RedactConfig(stored.Config))
	for _, hidden := range []string{"12345678", "987654", "lkc-1", "p-2"} {
		assert.NotContains(t, shown, hidden)
	}
	assert.Equal(t, `{"bootstrap_servers":"localhost:9092","topic":"t","username":"ada","password":"***","sasl":[{"mechanism":"OAUTHBEARER","token":"***",`+
		`"extensions":{"logicalCluster":"***","identity pool":"***"}}]}`, shown)

	kept, err := KeepSecrets(parsed(t, withKafka(strings.NewReplacer("12345678", `"***"`, "987654", `"***"`, "lkc-1", "***", "p-2", "***").Replace(given))), stored)
	require.NoError(t, err)
	assert.Equal(t, stored.MQTT, kept.MQTT)
	assert.Equal(t, stored.Kafka.More, kept.Kafka.More)

	document, _, variables := Export(stored)
	for _, hidden := range []string{"12345678", "987654", "lkc-1", "p-2"} {
		assert.NotContains(t, string(document), hidden)
	}
	names := make([]string, len(variables))
	for i, v := range variables {
		names[i] = v.Name
		assert.Contains(t, string(document), `"${`+v.Name+`}"`)
	}
	assert.Equal(t, []string{"MQTT_PASSWORD", "KAFKA_SASL_TOKEN", "KAFKA_SASL_EXTENSIONS_LOGICALCLUSTER", "KAFKA_SASL_EXTENSIONS_IDENTITY_POOL"}, names)
}

func TestADefinitionThatIsNestedTooDeepIsRefusedBeforeItIsRead(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 9990) + "1" + strings.Repeat("}", 9990)
	for _, given := range []string{deep, withConfig(deep), withConfig(strings.Repeat("[", 33) + strings.Repeat("]", 33)), withKafka(`"sasl":` + strings.Repeat("[", 40) + strings.Repeat("]", 40))} {
		_, err := Parse([]byte(given))
		require.ErrorContains(t, err, "nested deeper than 32 levels at byte ")
	}
	require.NoError(t, CheckDepth([]byte(`"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["`)))
}

func TestDefinitionRoundTrips(t *testing.T) {
	for _, given := range []string{documented, listed, withKafka(withSecrets), withStrategy(`{"strategy":"dead_message_queue","wait_time_ms":0}`)} {
		c := parsed(t, given)
		again := parsed(t, string(c.JSON()))
		again.Config, c.Config = nil, nil // indented
		again.MQTT, c.MQTT, again.Kafka.More, c.Kafka.More = nil, nil, nil, nil
		assert.Equal(t, c, again)
	}
}

func TestClientIDsAreUniquePerConnector(t *testing.T) {
	assert.Equal(t, "robustmq_connect_default_iot-1", ClientID("robustmq_connect", "default", "iot-1"))
	seen := map[string]bool{}
	for _, name := range []string{"a", "A", "ä", "a b", "a+b", strings.Repeat("x", 128), strings.Repeat("x", 127)} {
		id := ClientID("p", "default", name)
		assert.Regexp(t, `^[A-Za-z0-9_.-]+$`, id)
		assert.False(t, seen[id], id)
		seen[id] = true
	}
}
