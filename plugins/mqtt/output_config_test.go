package mqtt

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// The number of batches in flight is the only default that differs: with more than one,
// a batch may overtake another.
func TestOutputSpecHasEveryStockField(t *testing.T) {
	env := service.GlobalEnvironment().Clone()
	stock := fieldsOf(t, env.WalkOutputs)
	require.NoError(t, RegisterOutput(env))
	ours := fieldsOf(t, env.WalkOutputs)
	for i := range stock {
		if stock[i].Name == fieldMaxInFlight {
			require.EqualValues(t, 64, stock[i].Default)
			stock[i].Default = 1.0
		}
	}
	require.Greater(t, len(ours), len(stock))
	require.GreaterOrEqual(t, compareFields(t, "", stock, ours), 20)
}

func TestOutputConfigOfTheStockOutput(t *testing.T) {
	c, err := parseOut(t, `
urls: [ "tcp://localhost:1883,ssl://other:8883" ]
client_id: me
dynamic_client_id_suffix: nanoid
connect_timeout: 30s
will: { enabled: true, qos: 1, retained: false, topic: gone, payload: "" }
user: u
password: p
keepalive: 30
tls: { enabled: false }
topic: foo/${! json("id") }
qos: 2
write_timeout: 5s
retained: true
retained_interpolated: ${! @mqtt_retained }
max_in_flight: 64
`)
	require.NoError(t, err)
	require.Len(t, c.urls, 2)
	require.False(t, c.stableID)
	require.Equal(t, []any{64, 5 * time.Second, byte(2), true, true}, []any{c.maxInFlight, c.writeTimeout, c.messages.qos, c.messages.retained, c.messages.retainedBy.isSet()})

	c, err = parseOut(t, "urls: ['tcp://a:1']\ntopic: a")
	require.NoError(t, err)
	require.Equal(t, []any{1, 100, 0, 30 * time.Second, true, versionAuto, kafka.Strategy{}, true},
		[]any{c.maxInFlight, c.window, c.aliases, c.ackTimeout, c.cleanSession, c.version, c.strategy, c.messages.properties})
}

func TestOutputConfigErrors(t *testing.T) {
	for yaml, want := range map[string]string{
		"qos: 3":                     "field qos: 3 is out of range; must be 0 to 2",
		"qos_interpolated: '3'":      `field qos_interpolated: "3" is no QoS; must be 0, 1 or 2`,
		"max_in_flight: 0":           "field max_in_flight: 0 is out of range; must be 1 to 2147483647",
		"max_in_flight_publishes: 0": "field max_in_flight_publishes: 0 is out of range; must be 1 to 65535",
		"topic_alias_maximum: 65536": "field topic_alias_maximum: 65536 is out of range; must be 0 to 65535",
		"write_timeout: -1s":         `field write_timeout: "-1s" is negative; must be 0s or more`,
		"ack_timeout: never":         `field ack_timeout: "never" is not a duration`,
		"topic: a/#":                 `field topic: the topic "a/#" has a wildcard`,
		"topic: ''":                  "field topic: the topic is empty",
		"topic: '${! content('":      "field topic",
		"protocol_version: 4":        "field protocol_version: value 4 is unknown; must be one of auto, 5, 3.1.1",
		"failure_strategy: drop":     `field failure_strategy: value "drop" is unknown; must be one of block, discard, discard_after_retry, dead_message_queue`,
		"failure_strategy: { strategy: dead_message_queue, topic_name: a }":                                                                       `field failure_strategy.topic_name: "a" is the topic that the output writes to; name another`,
		"failure_strategy: block\nmax_in_flight: 2":                                                                                               "field max_in_flight: must be 1 with failure_strategy",
		"failure_strategy: { strategy: dead_message_queue, topic_name: 'a/+' }":                                                                   `field failure_strategy.topic_name: the topic "a/+" has a wildcard`,
		"failure_strategy: { strategy: dead_message_queue, topic_name: 'a/b', bootstrap_servers: 'k:9092' }":                                      "field failure_strategy.topic_name",
		"dead_letter_kafka: { tls: { enabled: true } }":                                                                                           "field dead_letter_kafka: needs bootstrap_servers in failure_strategy",
		"failure_strategy: block\ndead_letter_kafka: { sasl: [ { mechanism: PLAIN } ] }":                                                          "field dead_letter_kafka: needs bootstrap_servers in failure_strategy",
		"failure_strategy: { strategy: dead_message_queue, bootstrap_servers: 'k:9092' }\ndead_letter_kafka: { sasl: [ { mechanism: DIGEST } ] }": `field dead_letter_kafka: field sasl[0]: mechanism: value "DIGEST" is unknown`,
	} {
		base := "urls: ['tcp://a:1']\n"
		if !strings.HasPrefix(yaml, "topic:") {
			base += "topic: a\n"
		}
		conf, err := OutputSpec().ParseYAML(base+yaml, nil)
		if err == nil {
			_, err = parseOutput(conf)
		}
		require.ErrorContains(t, err, want, yaml)
	}
	c, err := parseOut(t, "urls: ['tcp://a:1']\ntopic: a\nfailure_strategy: { strategy: dead_message_queue, topic_name: 'dead/a' }")
	require.NoError(t, err)
	require.Equal(t, kafka.Strategy{Name: kafka.StrategyDeadMessageQueue, RetryTotalTimes: 3, WaitTime: time.Second, TopicName: "dead/a"}, c.strategy)
}
