package lint_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	_ "github.com/redpanda-data/connect/v4/public/components/io"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/mqtt"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"

	"github.com/robustmq/robustmq-connect/plugins"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

func TestMain(m *testing.M) {
	if err := plugins.Register(service.GlobalEnvironment()); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func newLinter(t testing.TB, opts lint.Options) *lint.Linter {
	t.Helper()
	standIns, err := lint.StandIns(service.GlobalEnvironment())
	require.NoError(t, err)
	return lint.New(standIns, standIns.FullConfigSchema("", ""), opts)
}

// Each line is one wrong setting in an otherwise correct configuration.
var wrongSettings = map[string][]string{
	"input: { mqtt: { urls: [ 'tcp://127.0.0.1:1' ], topics: [ a ], %s } }\noutput: { drop: {} }": {
		"protocol_version: 4",
		"qos: 3",
		"keepalive: 65536",
		"connect_timeout: -1s",
		"connect_timeout: soon",
		"dynamic_client_id_suffix: uuid",
		"will: { qos: 3 }",
		"will: { enabled: true }",
		"topic_qos: { b: 1 }",
		"topic_qos: { a: 3 }",
		"retain_handling: 3",
		"session_expiry: 1500ms",
		"session_expiry: 3600",
		"session_expiry: -1s",
		"receive_maximum: 0",
		"topic_alias_maximum: 65536",
		"max_batch_messages: 0",
		"max_batch_bytes: 0",
		"max_batch_bytes: 3GiB",
		"max_pending_bytes: lots",
		"stall_warning: 5",
		"stall_warning: -1s",
	},
	"input: { generate: { mapping: 'root = \"\"', count: 1 } }\noutput: { kafka_franz: { seed_brokers: [ '127.0.0.1:1' ], topic: t, %s } }": {
		"linger: 2m",
		"linger: -1ms",
		"linger: 5",
		"failure_strategy: drop",
		"failure_strategy: { strategy: discard, topic_name: d }",
		"failure_strategy: { strategy: discard_after_retry, retry_total_times: 0 }",
		"failure_strategy: { strategy: dead_message_queue, topic_name: t }",
		"failure_strategy: block, max_in_flight: 2",
		"max_in_flight: 0",
		"acks: most, idempotent_write: false",
		"acks: leader",
		"max_in_flight_requests: 2",
		"max_in_flight_requests: 0, idempotent_write: false",
		"compression: gzpi",
		"partitioner: random",
		"partitioner: manual",
		"partition: 1",
		"timestamp: 1, timestamp_ms: 1",
		"timeout: 1ms",
		"timeout: soon",
		"record_retries: -1",
		"record_delivery_timeout: 10ms",
		"metadata_max_age: 1ms",
		"request_timeout_overhead: 1h",
		"conn_idle_timeout: 0s",
		"max_message_bytes: 1B",
		"max_message_bytes: many",
		"max_message_bytes: 200MiB",
		"broker_write_max_bytes: 2GiB",
		"max_buffered_records: 0",
		"metric_topics: -1",
		"max_buffered_bytes: all",
		"sasl: [ { mechanism: SCRAM-512 } ]",
		"sasl: [ { mechanism: REDPANDA_CLOUD_SERVICE_ACCOUNT } ]",
		"sasl: [ { mechanism: AWS_MSK_IAM, aws: { endpoint: e } } ]",
		"sasl: [ { mechanism: AWS_MSK_IAM, aws: { credentials: { role: r } } } ]",
		"sasl: [ { mechanism: AWS_MSK_IAM, aws: { credentials: { id: i } } } ]",
		"sasl: [ { mechanism: GSSAPI, password: p } ]",
		"sasl: [ { mechanism: GSSAPI, username: '@REALM', password: p } ]",
		"sasl: [ { mechanism: GSSAPI, username: u } ]",
		"sasl: [ { mechanism: GSSAPI, username: u, password: p, kerberos: { keytab_file: k } } ]",
		"sasl: [ { mechanism: GSSAPI, username: u@A, password: p, kerberos: { realm: B } } ]",
		"sasl: [ { mechanism: GSSAPI, username: u, password: p, kerberos: { service_name: '' } } ]",
	},
}

func TestLintAndConstructorsReportTheSame(t *testing.T) {
	env := service.GlobalEnvironment()
	linter := newLinter(t, lint.Options{SkipFiles: true})
	for text, settings := range wrongSettings {
		for _, setting := range settings {
			t.Run(setting, func(t *testing.T) {
				text := strings.ReplaceAll(text, "%s", setting)
				findings := linter.YAML(text, false)
				require.Len(t, findings, 1, "%v", findings)
				said, _, _ := strings.Cut(findings[0].String(), "; did you mean")
				assert.ErrorContains(t, startError(t, env, text), strings.Replace(said, "sasl.0.", "sasl[0]: ", 1))
			})
		}
	}
}

// startError returns why a pipeline does not start. A pipeline that starts is stopped.
func startError(t *testing.T, env *service.Environment, text string) error {
	t.Helper()
	builder := env.NewStreamBuilder()
	builder.DisableLinting()
	require.NoError(t, builder.SetYAML(text))
	require.NoError(t, builder.SetLoggerYAML("level: off"))
	stream, err := builder.Build()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return stream.Run(ctx)
}

func TestLintChecksFailureStrategies(t *testing.T) {
	linter := newLinter(t, lint.Options{SkipFiles: true, SkipEnvCheck: true})
	for strategy, want := range map[string]string{
		`discard`: "",
		`{ strategy: discard_after_retry, retry_total_times: 3, wait_time_ms: 1000 }`:                   "",
		`{ strategy: dead_message_queue, topic_name: dead_letter_queue, bootstrap_servers: "a:1,b:2" }`: "",
		`{ strategy: dead_message_queue, bootstrap_servers: [ a ] }`:                                    "",
		`${LINT_TEST_UNSET}`: "",
		`{ strategy: discard_after_retry, retry_total_times: "${LINT_TEST_UNSET}" }`: "",
		`discrad`: `failure_strategy: value "discrad" is unknown`,
		`{ strategy: discard_after_retry, retry_total_times: 0 }`:        "failure_strategy.retry_total_times: 0 is out of range; must be 1 to",
		`{ strategy: discard, wait_time_ms: 5 }`:                         "failure_strategy.wait_time_ms: is not a field of the strategy discard",
		`{ strategy: dead_message_queue, bootstrap_servers: [ "a:b" ] }`: `failure_strategy.bootstrap_servers: "a:b": port "b" is not a number`,
		`{ strategy: dead_message_queue, topic_name: t }`:                `failure_strategy.topic_name: "t" is the topic that the output writes to`,
	} {
		for _, output := range []string{
			"robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t, failure_strategy: %s }",
			"kafka_franz: { seed_brokers: [ \"k:1\" ], topic: t, failure_strategy: %s }",
		} {
			text := "output:\n  " + fmt.Sprintf(output, strategy)
			findings := linter.YAML(text, false)
			if want == "" {
				assert.Empty(t, findings, text)
				continue
			}
			require.Len(t, findings, 1, text)
			assert.Contains(t, findings[0].String(), want)
			field, _, _ := strings.Cut(findings[0].String(), ": ")
			assert.Equal(t, field, findings[0].Field)
		}
	}
}

// specOf returns the descriptions of a component's fields by name, and the parts of its
// schema that only a stand-in has.
func specOf(t *testing.T, env *service.Environment, kind, name string) (fields map[string]any, text string) {
	t.Helper()
	json, err := lint.SpecJSON(env, kind, name)
	require.NoError(t, err)
	var spec struct {
		Config struct {
			Children []map[string]any
		}
	}
	require.NoError(t, yaml.Unmarshal(json, &spec))
	fields = map[string]any{}
	for _, child := range spec.Config.Children {
		fields[child["name"].(string)] = child["description"]
	}
	require.GreaterOrEqual(t, len(fields), 5)
	return fields, string(json)
}

func TestStandInsHaveTheFieldsOfTheOriginals(t *testing.T) {
	env := service.GlobalEnvironment()
	standIns, err := lint.StandIns(env)
	require.NoError(t, err)
	for _, kind := range []string{"input", "output"} {
		for _, name := range []string{"robustmq_kafka", "mqtt", "kafka_franz"} {
			want, original := specOf(t, env, kind, name)
			got, standIn := specOf(t, standIns, kind, name)
			assert.Equal(t, want, got, "%s %s", kind, name)
			if name == "robustmq_kafka" {
				assert.NotContains(t, original, "root_cas_file", "a template's tls has no fields")
				assert.Contains(t, standIn, `"root_cas_file"`, "%s is not the stand-in", kind)
				assert.Contains(t, standIn, `"is_secret":true`, "%s", kind)
			}
		}
	}
}
