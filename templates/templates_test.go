package templates_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	_ "github.com/redpanda-data/connect/v4/public/components/io"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/mqtt"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"

	"github.com/robustmq/robustmq-connect/plugins"
	"github.com/robustmq/robustmq-connect/plugins/mapping"
	"github.com/robustmq/robustmq-connect/templates"
)

// The templates' methods are global, so an environment has them only if it is cloned
// after the first registration.
func TestMain(m *testing.M) {
	env := service.GlobalEnvironment()
	if err := plugins.Register(env); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestTemplatesPassTheirOwnTests(t *testing.T) {
	texts, err := templates.YAML()
	require.NoError(t, err)
	require.Len(t, texts, 4)
	tester := service.GlobalEnvironment().NewStreamTemplateTester()
	for name, text := range texts {
		var template struct{ Tests []struct{ Name string } }
		require.NoError(t, yaml.Unmarshal([]byte(text), &template))
		assert.GreaterOrEqual(t, len(template.Tests), 3, "%s has lost its tests", name)

		lints, err := tester.LintYAML([]byte(text))
		require.NoError(t, err)
		assert.Empty(t, lints, name)
		lints, err = tester.RunYAML([]byte(text))
		require.NoError(t, err)
		assert.Empty(t, lints, name)
	}
}

// runError builds and runs a pipeline that must not start, and returns the error.
func runError(t *testing.T, env *service.Environment, text string) error {
	t.Helper()
	builder := env.NewStreamBuilder()
	require.NoError(t, builder.SetYAML(text))
	require.NoError(t, builder.SetLoggerYAML("level: off"))
	stream, err := builder.Build()
	if err != nil {
		return err
	}
	return stream.Run(t.Context())
}

func TestRunRefusesWithTheMessagesOfLint(t *testing.T) {
	env := service.GlobalEnvironment()
	for text, words := range map[string]string{
		"input: { robustmq_kafka: { topic_id: a/#/b, qos: 7 } }":                                                                                               `topic_id: "a/#/b": '#' must be the last level; use '+' for one level in the middle; qos: 7 is out of range; must be 0 to 2`,
		"input: { robustmq_kafka: { topic_id: a, urls: [ \"localhost:1883\" ] } }\n":                                                                           `urls.0: "localhost:1883" has no scheme; write tcp://localhost:1883`,
		"output: { robustmq_kafka: { bootstrap_servers: nope, topic: t } }":                                                                                    `bootstrap_servers: "nope" has no port; write host:port, for example nope:9092`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: a/b } }":                                                                               `topic: "a/b" has the character '/'`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, retries: 0 } }":                                                                     `retries: 0 is out of range; must be 1 to 100`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, acks: \"1\" } }":                                                                    `acks: 1 can lose messages and needs idempotent_write: false; remove acks to lose none`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, compression_type: gzpi } }":                                                         `compression_type: value "gzpi" is unknown; must be one of none, gzip, snappy, lz4, zstd; did you mean "gzip"?`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, failure_strategy: drop } }":                                                         `failure_strategy: value "drop" is unknown; must be one of block, discard`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, failure_strategy: { strategy: discard, topic_name: d } } }":                         `failure_strategy.topic_name: is not a field of the strategy discard; remove it`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, failure_strategy: { strategy: dead_message_queue, topic_name: t } } }":              `failure_strategy.topic_name: "t" is the topic that the output writes to; name another`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, failure_strategy: { strategy: dead_message_queue, bootstrap_servers: \"k:x\" } } }": `failure_strategy.bootstrap_servers: "k:x": port "x" is not a number`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, format: xml } }":                                                                    `format: value "xml" is unknown`,
		"output: { robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, sasl: [ { mechanism: SCRAM-SHA-256, username: a } ] } }":                            `sasl.0.mechanism: SCRAM-SHA-256 needs password`,
	} {
		require.ErrorContains(t, runError(t, env, text), words, text)
	}
}

func TestDerivedClientIDIsStableAndLoggedWithAdvice(t *testing.T) {
	clientID := func(label, filter string) string {
		told := make(chan string, 1)
		mapping.OnNotice(func(level slog.Level, text string) {
			assert.Equal(t, slog.LevelInfo, level, "the shortest pipeline must start without a warning")
			told <- text
		})
		defer mapping.OnNotice(func(slog.Level, string) {})
		builder := service.GlobalEnvironment().NewStreamBuilder()
		require.NoError(t, builder.SetLoggerYAML("level: off"))
		require.NoError(t, builder.AddInputYAML("label: "+label+"\nrobustmq_kafka: { topic_id: "+filter+", urls: [ \"tcp://127.0.0.1:1\" ] }"))
		require.NoError(t, builder.AddOutputYAML("drop: {}"))
		stream, err := builder.Build()
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- stream.Run(ctx) }()
		text := <-told
		cancel()
		<-done
		id, _, ok := strings.Cut(strings.TrimPrefix(text, "The MQTT client id is "), ",")
		require.True(t, ok)
		assert.Contains(t, text, "in a container set client_id")
		assert.Regexp(t, `^rmqc[0-9a-f]{19}$`, id)
		return id
	}
	id := clientID("one", "a")
	assert.Equal(t, id, clientID("one", "a"))
	assert.NotEqual(t, id, clientID("two", "a"))
	assert.NotEqual(t, id, clientID("one", "b"))
}
