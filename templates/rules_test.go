package templates_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/templates"
)

// Each line is one setting that is wrong beside ones that are right.
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

func TestLintAndConstructorsSayTheSame(t *testing.T) {
	env := service.GlobalEnvironment()
	lintEnv, err := templates.LintEnvironment(env, true)
	require.NoError(t, err)
	for text, settings := range wrongSettings {
		for _, setting := range settings {
			t.Run(setting, func(t *testing.T) {
				text := strings.ReplaceAll(text, "%s", setting)
				lints, err := lintEnv.FullConfigSchema("", "").NewStreamConfigLinter().LintYAML([]byte(text))
				require.NoError(t, err)
				require.Len(t, lints, 1, "%v", lints)
				said, _, _ := strings.Cut(lints[0].What, "; did you mean")
				assert.ErrorContains(t, startError(t, env, text), strings.Replace(said, "sasl.0.", "sasl[0]: ", 1))
			})
		}
	}
}

// startError is why a pipeline does not start. One that does start is stopped.
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return stream.Run(ctx)
}
