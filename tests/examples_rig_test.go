package tests

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/plugins/lint"
	"github.com/robustmq/robustmq-connect/tests/components"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

const (
	examplesFolder = "../config"
	exampleTimeout = time.Minute
)

// exampleSchema has the program's defaults: one thread, which keeps the order.
// SetThreads before SetYAML would not work, because SetYAML sets another number.
func exampleSchema(env *service.Environment) *service.ConfigSchema {
	schema := env.FullConfigSchema("", "")
	schema.SetFieldDefault(1, "pipeline", "threads")
	return schema
}

func readExample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examplesFolder, name))
	require.NoError(t, err)
	return string(text)
}

// lintExample lints as the lint command does; a variable that is not set here is set
// where the example is used.
func lintExample(t *testing.T, document string) {
	t.Helper()
	env, err := components.Environment()
	require.NoError(t, err)
	standIns, err := lint.StandIns(env)
	require.NoError(t, err)
	linter := lint.New(standIns, standIns.FullConfigSchema("", ""), lint.Options{SkipEnvCheck: true, SkipFiles: true, Warnings: true})
	require.Empty(t, linter.YAML(document, false))
}

// exampleRig is an MQTT broker and a Kafka, with clients that may log in to them.
type exampleRig struct {
	t          *testing.T
	client     paho.Client // see mqtt
	mqttURL    string
	kafkaAddr  string
	tls        *tls.Config
	user       string // of the MQTT broker
	password   string
	kafkaOpts  []kgo.Opt
	subscribed func(filter string)
}

func newExampleRig(t *testing.T, topics ...string) *exampleRig {
	t.Helper()
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	kafka, err := embedded.StartKafka("127.0.0.1:0", topics...)
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	return &exampleRig{
		t: t, mqttURL: broker.URL(), kafkaAddr: kafka.Addr(),
		subscribed: func(filter string) {
			ctx, done := context.WithTimeout(t.Context(), exampleTimeout)
			defer done()
			require.NoError(t, broker.WaitSubscribed(ctx, filter))
		},
	}
}

// start runs a pipeline against the rig until the test ends, and returns its log.
func (r *exampleRig) start(document string) *logtext.Text {
	r.t.Helper()
	env, err := components.Environment()
	require.NoError(r.t, err)
	logs := &logtext.Text{}
	builder := env.NewStreamBuilder()
	builder.SetSchema(exampleSchema(env))
	require.NoError(r.t, builder.SetYAML(r.redirect(document)))
	builder.SetLogger(slog.New(slog.NewTextHandler(logs, nil)))
	stream, err := builder.Build()
	require.NoError(r.t, err)

	ended := make(chan error, 1)
	go func() { ended <- stream.Run(context.Background()) }()
	r.t.Cleanup(func() {
		if err := stream.StopWithin(exampleTimeout); err != nil {
			r.t.Errorf("stopping the pipeline: %v", err)
		}
		if err := <-ended; err != nil {
			r.t.Errorf("the pipeline ended: %v", err)
		}
		if r.t.Failed() {
			r.t.Log(logs.String())
		}
	})
	return logs
}

// redirect replaces the addresses in every component of a pipeline by those of the rig.
func (r *exampleRig) redirect(document string) string {
	r.t.Helper()
	var root yaml.Node
	require.NoError(r.t, yaml.Unmarshal([]byte(document), &root))
	require.Positive(r.t, r.redirectNode(&root), "the pipeline connects to nothing")
	out, err := yaml.Marshal(&root)
	require.NoError(r.t, err)
	return string(out)
}

func (r *exampleRig) redirectNode(n *yaml.Node) (components int) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			conf := n.Content[i+1]
			switch name := n.Content[i].Value; {
			case name == "robustmq_kafka" && has(conf, "topic_id"), name == "mqtt", name == "robustmq_mqtt":
				set(conf, "urls", []string{r.mqttURL})
			case name == "failure_strategy" && has(conf, "bootstrap_servers"):
				set(conf, "bootstrap_servers", r.kafkaAddr)
			case name == "robustmq_kafka", name == "robustmq_kafka_source":
				set(conf, "bootstrap_servers", r.kafkaAddr)
			case name == "kafka_franz":
				set(conf, "seed_brokers", []string{r.kafkaAddr})
			default:
				continue
			}
			components++
		}
	}
	for _, child := range n.Content {
		components += r.redirectNode(child)
	}
	return components
}

func has(mapping *yaml.Node, name string) bool {
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return true
		}
	}
	return false
}

func set(mapping *yaml.Node, name string, value any) {
	var node yaml.Node
	_ = node.Encode(value)
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			mapping.Content[i+1] = &node
			return
		}
	}
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, &node)
}

// mqtt returns the MQTT client of the rig, connected. There is one: two of one client id
// would disconnect each other.
func (r *exampleRig) mqtt() paho.Client {
	r.t.Helper()
	if r.client != nil {
		return r.client
	}
	client := paho.NewClient(paho.NewClientOptions().AddBroker(r.mqttURL).SetTLSConfig(r.tls).
		SetUsername(r.user).SetPassword(r.password).SetClientID("examples").SetOrderMatters(true))
	r.await(client.Connect())
	r.t.Cleanup(func() { client.Disconnect(0) })
	r.client = client
	return client
}

func (r *exampleRig) await(token paho.Token) {
	r.t.Helper()
	require.True(r.t, token.WaitTimeout(exampleTimeout), "the MQTT broker does not answer")
	require.NoError(r.t, token.Error())
}

// publish publishes pairs of a topic and a payload with QoS 1.
func (r *exampleRig) publish(pairs ...string) {
	r.t.Helper()
	client := r.mqtt()
	for i := 0; i < len(pairs); i += 2 {
		r.await(client.Publish(pairs[i], 1, false, pairs[i+1]))
	}
}

func (r *exampleRig) kafka(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	opts = append(opts, kgo.SeedBrokers(r.kafkaAddr), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.UnknownTopicRetries(-1))
	client, err := kgo.NewClient(append(opts, r.kafkaOpts...)...)
	require.NoError(r.t, err)
	r.t.Cleanup(client.Close)
	return client
}

// records returns exactly n records of a Kafka topic: it waits for them, and then a
// little longer, in which no other may arrive.
func (r *exampleRig) records(topic string, n int) []*kgo.Record {
	r.t.Helper()
	client := r.kafka(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var got []*kgo.Record
	poll := func(within time.Duration) {
		ctx, done := context.WithTimeout(r.t.Context(), within)
		defer done()
		got = append(got, client.PollFetches(ctx).Records()...)
	}
	for deadline := time.Now().Add(exampleTimeout); len(got) < n; {
		require.True(r.t, time.Now().Before(deadline), "%d of %d records came to %s", len(got), n, topic)
		poll(time.Second)
	}
	poll(200 * time.Millisecond)
	require.Len(r.t, got, n, "records of %s", topic)
	return got
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Key, name) {
			return string(h.Value)
		}
	}
	return "no header " + name
}
