package kafka

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/redpanda-data/connect/v4/public/components/kafka" // the stock output to compare with
)

// fieldsOf returns the fields of a component by path.
func fieldsOf(t *testing.T, view *service.ConfigView) map[string]map[string]any {
	t.Helper()
	text, err := view.FormatJSON()
	require.NoError(t, err)
	var spec struct {
		Config map[string]any `json:"config"`
	}
	require.NoError(t, json.Unmarshal(text, &spec))
	all := map[string]map[string]any{}
	var walk func(path string, field map[string]any)
	walk = func(path string, field map[string]any) {
		children, _ := field["children"].([]any)
		for _, child := range children {
			child := child.(map[string]any)
			name := path + child["name"].(string)
			all[name] = child
			walk(name+".", child)
		}
	}
	walk("", spec.Config)
	return all
}

// view walks the environment: a look-up by name on a clone returns the original
// component.
func view(t *testing.T, env *service.Environment) (view *service.ConfigView) {
	t.Helper()
	env.WalkOutputs(func(name string, v *service.ConfigView) {
		if name == "kafka_franz" {
			view = v
		}
	})
	require.NotNil(t, view)
	return view
}

func TestEveryStockFieldIsSupported(t *testing.T) {
	env := service.GlobalEnvironment().Clone()
	stock := fieldsOf(t, view(t, env))
	require.NoError(t, Register(env))
	ours := fieldsOf(t, view(t, env))
	require.Contains(t, ours, "failure_strategy", "the view is of our output")
	require.NotContains(t, stock, "failure_strategy", "the view is of the stock output")
	require.Greater(t, len(stock), 50)

	otherDefault := []string{"max_in_flight"}
	for name, field := range stock {
		got, ok := ours[name]
		if !assert.True(t, ok, "field %s is missing", name) {
			continue
		}
		for _, property := range []string{"type", "kind", "is_optional", "is_deprecated", "is_secret", "default", "interpolated", "options"} {
			if property == "default" && slices.Contains(otherDefault, name) {
				continue
			}
			assert.Equal(t, field[property], got[property], "%s of field %s", property, name)
		}
		want := optionNames(field)
		if name == "sasl.mechanism" {
			want = append(want, "GSSAPI")
			slices.Sort(want)
		}
		assert.Equal(t, want, optionNames(got), "options of field %s", name)
	}
	var added []string
	for name := range ours {
		if _, ok := stock[name]; !ok && !strings.HasPrefix(name, "envelope.") && !strings.HasPrefix(name, "sasl.kerberos.") {
			added = append(added, name)
		}
		assert.NotEmpty(t, ours[name]["description"], "field %s has no description", name)
	}
	slices.Sort(added)
	require.Equal(t, []string{"envelope", "failure_strategy", "linger", "max_kafka_version", "metric_topics", "sasl.kerberos"}, added)
}

func optionNames(field map[string]any) []string {
	options, _ := field["annotated_options"].([]any)
	var names []string
	for _, option := range options {
		names = append(names, fmt.Sprint(option.([]any)[0]))
	}
	slices.Sort(names)
	return names
}

func TestLintAndConstructorAgree(t *testing.T) {
	env := service.NewEnvironment()
	require.NoError(t, Register(env))
	for _, test := range []struct {
		good, bad []string
		want      string
	}{
		{[]string{"partitioner: manual", "partition: 1"}, []string{"partitioner: manual"}, "partitioner: manual needs the field partition, the partition of each record"},
		{[]string{"partitioner: murmur2_hash"}, []string{"partition: 1"}, "partition: needs partitioner: manual; add it, or remove partition"},
		{[]string{"timestamp_ms: 1"}, []string{"timestamp: 1", "timestamp_ms: 1"}, "timestamp: conflicts with timestamp_ms; remove one of them"},
		{[]string{"acks: leader", "idempotent_write: false"}, []string{"acks: leader"}, "acks: must be all with idempotent_write"},
		{[]string{"max_in_flight_requests: 2", "idempotent_write: false"}, []string{"max_in_flight_requests: 2"}, "max_in_flight_requests: must be 1 with idempotent_write"},
		{[]string{"failure_strategy: block", "max_in_flight: 1"}, []string{"failure_strategy: block", "max_in_flight: 2"}, "max_in_flight: must be 1 with failure_strategy: a batch"},
		{[]string{"failure_strategy: { strategy: discard }", "max_in_flight: 1"}, []string{"failure_strategy: { strategy: discard }", "max_in_flight: 2"}, "max_in_flight: must be 1 with failure_strategy: a batch"},
	} {
		for _, lines := range [][]string{test.good, test.bad} {
			text := "kafka_franz:\n  seed_brokers: [localhost:1]\n  topic: t\n  " + strings.Join(lines, "\n  ") + "\n"
			lints, err := env.NewComponentConfigLinter().SetRejectDeprecated(false).LintOutputYAML([]byte(text))
			require.NoError(t, err)
			_, err = tryParse([]string{"localhost:1"}, lines...)
			if reflect.DeepEqual(lines, test.good) {
				require.Empty(t, lints, text)
				require.NoError(t, err, text)
			} else {
				require.Len(t, lints, 1, text)
				require.Contains(t, lints[0].What, test.want)
				require.ErrorContains(t, err, test.want)
			}
		}
	}
}

func TestInvalidConfigsAreRefused(t *testing.T) {
	for line, want := range map[string]string{
		"topic: a/b":                    "field topic: the topic \"a/b\" has a character that Kafka does not allow",
		"max_message_bytes: lots":       "field max_message_bytes: \"lots\" is not a size; write a number and a unit of B, kB",
		"max_message_bytes: 3GB":        "field max_message_bytes: \"3GB\" is out of range; must be 512 to 1073741824 bytes",
		"max_buffered_records: 0":       "field max_buffered_records: 0 is out of range; must be 1 to 2147483647",
		"record_retries: -1":            "field record_retries: -1 is out of range; must be 0 to 2147483647",
		"max_message_bytes: 200MiB":     "field broker_write_max_bytes: 104857600 bytes cannot hold a record batch of max_message_bytes, 209715200",
		"record_delivery_timeout: 10ms": "field record_delivery_timeout: 10ms is out of range; must be 0s for no limit, or at least 1s",
		"timeout: 1ms":                  "field timeout: \"1ms\" is out of range; must be 100ms to",
		"conn_idle_timeout: 1h":         "field conn_idle_timeout: \"1h\" is out of range; must be 100ms to 15m0s",
		"metadata_max_age: 1ms":         "field metadata_max_age: \"1ms\" is out of range; must be 1s to 1h0m0s",
		"max_in_flight: 0":              "field max_in_flight: 0 is out of range; must be 1 to 2147483647",
		"failure_strategy: drop":        "field failure_strategy: value \"drop\" is unknown; must be one of block, discard, discard_after_retry, dead_message_queue",
		"acks: one":                     "field acks: value \"one\" is unknown; must be one of all, leader, none",
		"partitioner: random":           "field partitioner: value \"random\" is unknown; must be one of murmur2_hash",
		"compression: rar":              "field compression: value \"rar\" is unknown; must be one of lz4",
		"linger: -1s":                   "field linger: \"-1s\" is out of range; must be 0s to 1m0s",
		"linger: soon":                  "field linger: \"soon\" is not a duration; write a number and a unit of ns",
		"broker_write_max_bytes: 1KiB":  "field broker_write_max_bytes: 1024 bytes cannot hold a record batch of max_message_bytes, 1048576",
		"sasl: [ { mechanism: NOPE } ]": "field sasl[0]: mechanism: value \"NOPE\" is unknown; must be one of PLAIN, SCRAM-SHA-256",
		"sasl: [ { mechanism: REDPANDA_CLOUD_SERVICE_ACCOUNT } ]":                                       "works inside Redpanda Cloud only",
		"sasl: [ { mechanism: AWS_MSK_IAM, aws: { credentials: { role: r } } } ]":                       "aws.credentials.role: is not supported",
		"sasl: [ { mechanism: AWS_MSK_IAM, aws: { credentials: { from_ec2_role: true } } } ]":           "aws.credentials.from_ec2_role: is not supported",
		"sasl: [ { mechanism: AWS_MSK_IAM, aws: { credentials: { profile: p } } } ]":                    "aws.credentials.profile: is not supported",
		"sasl: [ { mechanism: AWS_MSK_IAM, aws: { endpoint: e } } ]":                                    "aws.endpoint: is not supported",
		"sasl: [ { mechanism: none }, { mechanism: AWS_MSK_IAM, aws: { credentials: { id: only } } } ]": "sasl[1]: aws.credentials: id and secret belong together",
	} {
		_, err := tryParse([]string{"localhost:1"}, line)
		require.ErrorContains(t, err, want, line)
	}
	_, err := tryParse([]string{" , "})
	require.ErrorContains(t, err, "field seed_brokers: is empty; give at least one address")
}

func TestSettingsReachTheClient(t *testing.T) {
	for line, check := range map[string]func(*kgo.Client) (got, want any){
		"{linger: 5ms, max_in_flight: 2}": func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ProducerLinger), 5 * time.Millisecond },
		"linger: 5ms":                     func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ProducerLinger), time.Duration(0) },
		"":                                func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ProducerLinger), time.Duration(0) },
		"max_in_flight: 1":                func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ManualFlushing), true },
		"max_in_flight: 2":                func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ManualFlushing), false },
		"idempotent_write: false":         func(c *kgo.Client) (any, any) { return c.OptValue(kgo.DisableIdempotentWrite), true },
		"{idempotent_write: false, acks: leader}": func(c *kgo.Client) (any, any) { return c.OptValue(kgo.RequiredAcks), kgo.LeaderAck() },
		"{idempotent_write: false, acks: none}":   func(c *kgo.Client) (any, any) { return c.OptValue(kgo.RequiredAcks), kgo.NoAck() },
		"acks: all":                               func(c *kgo.Client) (any, any) { return c.OptValue(kgo.RequiredAcks), kgo.AllISRAcks() },
		"record_retries: 3":                       func(c *kgo.Client) (any, any) { return c.OptValue(kgo.RecordRetries), int64(3) },
		"timeout: 7s":                             func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ProduceRequestTimeout), 7 * time.Second },
		"client_id: me":                           func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ClientID), "me" },
		"max_message_bytes: 2MiB":                 func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ProducerBatchMaxBytes), int32(2 << 20) },
		"broker_write_max_bytes: 2MiB":            func(c *kgo.Client) (any, any) { return c.OptValue(kgo.BrokerMaxWriteBytes), int32(2 << 20) },
		"max_buffered_records: 7":                 func(c *kgo.Client) (any, any) { return c.OptValue(kgo.MaxBufferedRecords), int64(7) },
		"max_buffered_bytes: 7KiB":                func(c *kgo.Client) (any, any) { return c.OptValue(kgo.MaxBufferedBytes), int64(7 << 10) },
		"metadata_max_age: 7m":                    func(c *kgo.Client) (any, any) { return c.OptValue(kgo.MetadataMaxAge), 7 * time.Minute },
		"request_timeout_overhead: 7s":            func(c *kgo.Client) (any, any) { return c.OptValue(kgo.RequestTimeoutOverhead), 7 * time.Second },
		"conn_idle_timeout: 7s":                   func(c *kgo.Client) (any, any) { return c.OptValue(kgo.ConnIdleTimeout), 7 * time.Second },
		"allow_auto_topic_creation: false":        func(c *kgo.Client) (any, any) { return c.OptValue(kgo.AllowAutoTopicCreation), false },
		"compression: zstd": func(c *kgo.Client) (any, any) {
			return c.OptValue(kgo.ProducerBatchCompression), []kgo.CompressionCodec{kgo.ZstdCompression()}
		},
		"{idempotent_write: false, max_in_flight_requests: 3}": func(c *kgo.Client) (any, any) {
			return c.OptValue(kgo.MaxProduceRequestsInflightPerBroker), 3
		},
	} {
		t.Run(line, func(t *testing.T) {
			p, err := newProducer(parsed(t, []string{"localhost:1"}, unbraced(line)...), nil)
			require.NoError(t, err)
			defer p.client.Close()
			got, want := check(p.client)
			require.EqualValues(t, want, got)
		})
	}
}
