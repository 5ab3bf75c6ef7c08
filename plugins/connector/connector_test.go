package connector

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// documented is the connector of RobustMQ's documentation, unchanged.
const documented = `{"cluster_name":"default","connector_name":"kafka_connector_01","connector_type":"Kafka","config":"{\"bootstrap_servers\": \"localhost:9092\", \"topic\": \"mqtt_messages\", \"key\": \"sensor_data\"}","topic_id":"sensor/data","status":"Idle","broker_id":null,"create_time":1640995200,"update_time":1640995200}`

// listed is a connector in the form of RobustMQ's list: the config wrapped and filled
// with RobustMQ's defaults, times without a zone.
const listed = `{"tenant":"default","connector_name":"k1","connector_type":"kafka","config":"{\"Kafka\":{\"bootstrap_servers\":\"127.0.0.1:19092\",\"topic\":\"rmq_k1\",\"key\":\"\",\"compression_type\":\"none\",\"batch_size\":16384,\"linger_ms\":5,\"acks\":\"1\",\"retries\":3,\"message_timeout_ms\":30000,\"cleanup_timeout_secs\":10}}","topic_name":"sensor/data","status":"Idle","broker_id":"-","create_time":"2026-11-23 02:52:14","update_time":"2026-11-23 02:52:14"}`

// withConfig returns a connector whose config is a JSON object.
func withConfig(config string) string {
	return `{"connector_name":"c","connector_type":"kafka","topic_id":"a/b","config":` + config + `}`
}

// withKafka returns a connector whose config is a JSON string with the required
// settings and the given ones.
func withKafka(settings string) string {
	if settings != "" {
		settings = "," + settings
	}
	text, _ := json.Marshal(`{"bootstrap_servers":"localhost:9092","topic":"t"` + settings + `}`)
	return withConfig(string(text))
}

func withStrategy(strategy string) string {
	return strings.TrimSuffix(withKafka(""), "}") + `,"failure_strategy":` + strategy + `}`
}

func TestParseReadsTheDocumentedConnector(t *testing.T) {
	c, err := Parse([]byte(documented))
	require.NoError(t, err)
	key := "sensor_data"
	assert.Equal(t, Connector{
		Name: "kafka_connector_01", Type: TypeKafka, ClusterName: "default", TopicID: "sensor/data",
		Config: json.RawMessage(`{"bootstrap_servers": "localhost:9092", "topic": "mqtt_messages", "key": "sensor_data"}`),
		Kafka:  Kafka{BootstrapServers: "localhost:9092", Topic: "mqtt_messages", Key: &key},
		Status: "Idle", CreateTime: "1640995200", UpdateTime: "1640995200",
	}, c)
}

func TestParseReadsAListedConnector(t *testing.T) {
	c, err := Parse([]byte(listed))
	require.NoError(t, err)
	assert.True(t, c.Kafka.Wrapped)
	assert.Equal(t, "rmq_k1", c.Kafka.Topic)
	assert.Equal(t, "sensor/data", c.TopicID)
	assert.Equal(t, "-", c.BrokerID)
	assert.Equal(t, "2026-11-23 02:52:14", c.CreateTime)
	assert.Equal(t, "default", c.Tenant)
	require.NotNil(t, c.Kafka.BatchSize)
	assert.Equal(t, 16384, *c.Kafka.BatchSize)
}

func TestParseFailureStrategies(t *testing.T) {
	for given, want := range map[string]FailureStrategy{
		`{"strategy":"discard","retry_total_times":null,"wait_time_ms":null,"topic_name":null}`: {Strategy: "discard"},
		`{"strategy":"discard_after_retry"}`:                                                    {Strategy: "discard_after_retry", RetryTotalTimes: 3, WaitTimeMS: 1000},
		`{"strategy":"dead_message_queue","retry_total_times":5,"wait_time_ms":0}`:              {Strategy: "dead_message_queue", RetryTotalTimes: 5, TopicName: "dead_letter_queue"},
		`{"strategy":"block"}`: {Strategy: "block"},
		`{"strategy":"dead_message_queue","bootstrap_servers":"h:1"}`:    {Strategy: "dead_message_queue", RetryTotalTimes: 3, WaitTimeMS: 1000, TopicName: "dead_letter_queue", BootstrapServers: "h:1"},
		`"{\"strategy\":\"dead_message_queue\",\"topic_name\":\"dlq\"}"`: {Strategy: "dead_message_queue", RetryTotalTimes: 3, WaitTimeMS: 1000, TopicName: "dlq"},
	} {
		c, err := Parse([]byte(withStrategy(given)))
		require.NoError(t, err, given)
		assert.Equal(t, &want, c.FailureStrategy, given)
	}
}

func TestParseAccepts(t *testing.T) {
	for name, given := range map[string]string{
		"config as an object":            withConfig(`{"bootstrap_servers":"localhost:9092","topic":"t"}`),
		"config wrapped, any case":       withConfig(`{"kAFKA":{"bootstrap_servers":"localhost:9092","topic":"t"}}`),
		"white space and a last newline": " \n" + withKafka("") + "\n\n",
		"a byte order mark":              "\xef\xbb\xbf" + withKafka(""),
		"null for what is optional":      withKafka(`"key":null,"acks":null,"retries":null`),
		"topic_id and topic_name alike":  strings.TrimSuffix(withKafka(""), "}") + `,"topic_name":"a/b"}`,
		"the longest name":               strings.Replace(withKafka(""), `"c"`, `"`+strings.Repeat("é", 128)+`"`, 1),
		"every setting at its least":     withKafka(`"key":"","compression_type":"none","batch_size":1,"linger_ms":0,"acks":"0","retries":1,"message_timeout_ms":1000,"cleanup_timeout_secs":0`),
		"every setting at its most":      withKafka(`"key":"k","compression_type":"zstd","batch_size":1048576,"linger_ms":60000,"acks":"-1","retries":100,"message_timeout_ms":300000,"cleanup_timeout_secs":300`),
		"broker_id as a number":          strings.TrimSuffix(withKafka(""), "}") + `,"broker_id":1}`,
	} {
		_, err := Parse([]byte(given))
		assert.NoError(t, err, name)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, given, want string }{
		{"nothing", "", "empty: it must hold a JSON object"},
		{"not JSON", `{"connector_name":}`, "not one JSON object: invalid character '}' looking for beginning of value at byte 19"},
		{"cut off", `{"connector_name":"c"`, "not one JSON object: unexpected end of JSON input at byte 21"},
		{"trailing data", withKafka("") + "{}", "not one JSON object: invalid character '{' after top-level value"},
		{"not UTF-8", "{\"connector_name\":\"\xff\"}", "not UTF-8"},
		{"a list of one", "[" + withKafka("") + "]", "a list of 1: give one JSON object of it (jq '.[0]')"},
		{"a string", `"x"`, "a string is not a JSON object"},
		{"null", `null`, "null is not a JSON object"},
		{"an answer of the API", `{"code":0,"data":{"data":[],"total_count":0},"error":null}`, "give one connector of it (jq '.data.data[0]')"},
		{"a field twice", `{"connector_name":"a","connector_name":"b"}`, `field "connector_name" is given twice`},
		{"an unknown field", strings.Replace(withKafka(""), `"connector_name"`, `"name":"c","connector_name"`, 1), `unknown field "name": the fields are connector_name, `},

		{"no name", `{"connector_type":"kafka"}`, "connector_name: missing"},
		{"a null name", `{"connector_name":null}`, "connector_name: missing"},
		{"an empty name", strings.Replace(withKafka(""), `"c"`, `""`, 1), "connector_name: empty"},
		{"a long name", strings.Replace(withKafka(""), `"c"`, `"`+strings.Repeat("é", 129)+`"`, 1), "connector_name: 129 characters long: at most 128"},
		{"a name of another type", strings.Replace(withKafka(""), `"c"`, `7`, 1), "connector_name: a number: it must be a string"},
		{"no type", `{"connector_name":"c"}`, "connector_type: missing"},
		{"another type", strings.Replace(withKafka(""), `"kafka"`, `"mysql"`, 1), `connector_type: "mysql" is not supported: it must be kafka`},
		{"no topic", strings.Replace(withKafka(""), `"topic_id":"a/b",`, ``, 1), "topic_id: missing: give the MQTT topic filter"},
		{"an empty topic", strings.Replace(withKafka(""), `"a/b"`, `""`, 1), "topic_id: empty"},
		{"a long topic", strings.Replace(withKafka(""), `"topic_id":"a/b"`, `"topic_name":"`+strings.Repeat("a", 257)+`"`, 1), "topic_name: 257 characters long"},
		{"two topics", strings.TrimSuffix(withKafka(""), "}") + `,"topic_name":"x"}`, `topic_name: "x" conflicts with topic_id "a/b"`},
		{"a variable in the topic", strings.Replace(withKafka(""), `"a/b"`, `"a/${USER}"`, 1), `topic_id: "a/${USER}" holds ${, which a pipeline would replace`},
		{"a time of another type", strings.TrimSuffix(withKafka(""), "}") + `,"create_time":true}`, "create_time: a boolean: it must be a string or a number"},

		{"no config", `{"connector_name":"c","connector_type":"kafka","topic_id":"a"}`, "config: missing: give the Kafka settings"},
		{"an empty config", withConfig(`""`), "config: empty: it must hold a JSON object"},
		{"a config that is not JSON", withConfig(`"nope"`), "config: not one JSON object: invalid character 'o' in literal null"},
		{"a config with trailing data", withConfig(`"{} {}"`), "config: not one JSON object: invalid character '{' after top-level value"},
		{"a config that is a list", withConfig(`[]`), "config: a list of 0"},
		{"a config that is a number", withConfig(`1`), "config: a number is not a JSON object"},
		{"a long config", withConfig(fmt.Sprintf(`{"topic":%q}`, strings.Repeat("a", 4096))), "config: 4108 characters long: at most 4096"},
		{"a config of another type", withConfig(`{"Postgres":{"host":"h"}}`), `config: holds the settings of a "Postgres" connector`},
		{"no servers", withConfig(`{"topic":"t"}`), "config.bootstrap_servers: missing"},
		{"no servers, wrapped", withConfig(`{"Kafka":{"topic":"t"}}`), "config.Kafka.bootstrap_servers: missing"},
		{"no Kafka topic", withConfig(`{"bootstrap_servers":"h:1"}`), "config.topic: missing"},
		{"an empty Kafka topic", withConfig(`{"bootstrap_servers":"h:1","topic":""}`), "config.topic: empty"},
		{"an unknown setting", withKafka(`"acs":"1"`), `config: unknown field "acs": the fields are bootstrap_servers, topic, key, `},
		{"a setting twice", withKafka(`"topic":"u"`), `config: field "topic" is given twice`},
		{"a variable in the key", withKafka(`"key":"${HOME}"`), `config.key: "${HOME}" holds ${`},
		{"a variable in an interpolation", withKafka(`"key":"${! \"${HOME}\" }"`), "config.key: "},
		{"an escaped variable in the topic", withConfig(`{"bootstrap_servers":"h:1","topic":"${{HOME}}"}`), "config.topic: "},
		{"a variable deep in a setting", withKafka(`"tls":{"client_certs":[{"cert_file":"${HOME}"}]}`), `config.tls.client_certs.0.cert_file: "${HOME}" holds ${`},
		{"a variable in a secret", withKafka(`"sasl":[{"mechanism":"PLAIN","password":"x${HOME}"}]`), `config.sasl.0.password: "***" holds ${`},
		{"a variable in the name of a field", withKafka(`"tls":{"${HOME}":1}`), `holds ${`},
		{"a variable in the client id", withKafka(`"client_id":"${HOME}"`), `config.client_id: "${HOME}" holds ${`},
		{"a login in a URL", withKafka(`"urls":["tcp://u:secret@h:1883"]`), `config.urls.0: "tcp://u:xxxxx@h:1883" holds a login`},
		{"a field twice, deep", withKafka(`"tls":{"enabled":true,"enabled":false}`), `config.tls: field "enabled" is given twice`},
		{"the strategy in the config", withKafka(`"failure_strategy":"block"`), "config.failure_strategy: it belongs next to config"},
		{"the filter in the config", withKafka(`"topic_id":"a"`), `config: unknown field "topic_id"`},
		{"a variable in the servers", withConfig(`{"bootstrap_servers":"${H}:1","topic":"t"}`), "config.bootstrap_servers: "},
		{"a long key", withKafka(`"key":"` + strings.Repeat("k", 257) + `"`), "config.key: 257 characters long: at most 256"},
		{"a number as text", withKafka(`"retries":"3"`), "config.retries: a string: it must be a number"},
		{"a text as number", withKafka(`"acks":1`), "config.acks: a number: it must be a string"},
		{"a broken number", withKafka(`"batch_size":1.5`), "config.batch_size: 1.5: it must be a whole number from 1 to 1048576"},
		{"acks", withKafka(`"acks":"2"`), `config.acks: "2" is not one of 0, 1, all, -1`},
		{"compression", withKafka(`"compression_type":"lzma"`), `config.compression_type: "lzma" is not one of none, gzip,`},
		{"batch_size", withKafka(`"batch_size":0`), "config.batch_size: 0 is out of range: it must be from 1 to 1048576"},
		{"linger_ms", withKafka(`"linger_ms":60001`), "config.linger_ms: 60001 is out of range: it must be from 0 to 60000"},
		{"retries", withKafka(`"retries":0`), "config.retries: 0 is out of range: it must be from 1 to 100"},
		{"message_timeout_ms", withKafka(`"message_timeout_ms":999`), "config.message_timeout_ms: 999 is out of range"},
		{"cleanup_timeout_secs", withKafka(`"cleanup_timeout_secs":301`), "config.cleanup_timeout_secs: 301 is out of range"},

		{"an unknown strategy", withStrategy(`{"strategy":"ignore"}`), `failure_strategy.strategy: "ignore" is not one of block, discard, `},
		{"no strategy", withStrategy(`{}`), "failure_strategy.strategy: missing"},
		{"no tries", withStrategy(`{"strategy":"discard_after_retry","retry_total_times":0}`), "failure_strategy.retry_total_times: 0 is out of range"},
		{"an unknown field of the strategy", withStrategy(`{"strategy":"discard","x":1}`), `failure_strategy: unknown field "x"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.given))
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
	assert.GreaterOrEqual(t, len(tests), 50)
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{documented, listed, withKafka(""), withStrategy(`{"strategy":"discard"}`)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		document, _ := Pipeline(c)
		assertRendered(t, c, document)

		again, err := Parse(c.JSON())
		require.NoError(t, err, "%s", c.JSON())
		same, _ := Pipeline(again)
		assert.Equal(t, string(document), string(same))
	})
}
