package tests

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/plugins/lint"
	"github.com/robustmq/robustmq-connect/tests/components"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

// The tests in promises_*_test.go run the pipelines that weaken a promise according to
// resources/docs/delivery.md, so that the document stays correct.

// promiseRig is an MQTT broker and a Kafka with topics of one partition.
type promiseRig struct {
	t       *testing.T
	broker  *embedded.Broker
	kafka   *kfake.Cluster
	addr    string
	publish func(payloads ...string)
	logs    logtext.Text // of the pipelines
}

// tooLarge is a payload that the Kafka outputs of these tests refuse.
var tooLarge = fmt.Sprintf("large%2000d", 0)

func newPromiseRig(t *testing.T, topics ...string) *promiseRig {
	t.Helper()
	routed := make(chan string)
	broker, err := embedded.StartBroker("127.0.0.1:0", &routing{done: t.Context().Done(), routed: routed})
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	r := &promiseRig{t: t, broker: broker, kafka: kafka, addr: kafka.ListenAddrs()[0]}
	client := r.client(publisher, true)
	r.publish = func(payloads ...string) {
		for _, payload := range payloads {
			r.await(client.Publish("a", 1, false, payload))
			select {
			case got := <-routed:
				require.Equal(t, payload, got)
			case <-time.After(exampleTimeout):
				require.Fail(t, "the MQTT broker does not route the message")
			}
		}
	}
	return r
}

// publisher is the client id of promiseRig.publish.
const publisher = "publisher"

// routing tells of each message of the publisher that the broker has given to those who
// subscribe to it. The broker acknowledges a message before that, so that an acknowledged
// message may still reach a later subscription.
type routing struct {
	mqtt.HookBase
	routed chan<- string
	done   <-chan struct{} // closed at the end of the test
}

func (*routing) Provides(b byte) bool { return b == mqtt.OnPublished }

func (h *routing) OnPublished(client *mqtt.Client, p packets.Packet) {
	if client.ID != publisher {
		return
	}
	select {
	case h.routed <- string(p.Payload):
	case <-h.done:
	}
}

// client returns a connected client. It leaves its client id to the next one, instead of
// reconnecting.
func (r *promiseRig) client(id string, clean bool) paho.Client {
	client := paho.NewClient(paho.NewClientOptions().AddBroker(r.broker.URL()).SetClientID(id).SetCleanSession(clean).SetOrderMatters(true).SetAutoReconnect(false))
	r.await(client.Connect())
	r.t.Cleanup(func() { client.Disconnect(0) })
	return client
}

func (r *promiseRig) await(token paho.Token) {
	r.t.Helper()
	require.True(r.t, token.WaitTimeout(exampleTimeout), "the MQTT broker does not answer")
	require.NoError(r.t, token.Error())
}

// fill replaces $IN by an MQTT input, and $T and $U by kafka_franz outputs to the
// topics t and u. The first refuses tooLarge.
func (r *promiseRig) fill(pipeline string) string {
	return strings.NewReplacer(
		"$URL", r.broker.URL(),
		"$IN", fmt.Sprintf("urls: [ %q ], topics: [ a ], client_id: bridge, clean_session: false", r.broker.URL()),
		"$T", fmt.Sprintf("seed_brokers: [ %q ], topic: t, max_message_bytes: 1KiB", r.addr),
		"$U", fmt.Sprintf("seed_brokers: [ %q ], topic: u", r.addr),
	).Replace(pipeline)
}

// warned lints a pipeline and requires exactly one warning, about a field.
func (r *promiseRig) warned(pipeline, field string) {
	r.t.Helper()
	findings := r.lint(pipeline)
	require.Len(r.t, findings, 1, "%v", findings)
	require.True(r.t, findings[0].Warning)
	require.Equal(r.t, field, findings[0].Field, "%v", findings)
}

func (r *promiseRig) lint(pipeline string) []lint.Finding {
	r.t.Helper()
	linter, err := promiseLinter()
	require.NoError(r.t, err)
	return linter.YAML(r.fill(pipeline), false)
}

var promiseLinter = sync.OnceValues(func() (*lint.Linter, error) {
	env, err := components.Environment()
	if err != nil {
		return nil, err
	}
	standIns, err := lint.StandIns(env)
	if err != nil {
		return nil, err
	}
	return lint.New(standIns, standIns.FullConfigSchema("", ""), lint.Options{Warnings: true}), nil
})

// start runs a pipeline until stop is called, which does not wait for messages in
// flight.
func (r *promiseRig) start(pipeline string) (stop func()) {
	r.t.Helper()
	env, err := components.Environment()
	require.NoError(r.t, err)
	builder := env.NewStreamBuilder()
	builder.SetSchema(exampleSchema(env))
	require.NoError(r.t, builder.SetYAML(r.fill(pipeline)))
	builder.SetLogger(slog.New(slog.NewTextHandler(&r.logs, nil)))
	stream, err := builder.Build()
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		ctx, done := context.WithCancel(context.Background())
		done()
		_ = stream.Stop(ctx)
		cancel()
		<-ended
	})
	r.t.Cleanup(stop)
	waiting, done := context.WithTimeout(r.t.Context(), exampleTimeout)
	defer done()
	require.NoError(r.t, r.broker.WaitSubscribed(waiting, "a"))
	return stop
}

// never checks for a while that something does not happen. It checks in the test's
// goroutine: testify's Never leaves its last check running, which fails after the test.
func (r *promiseRig) never(happens func() bool, while time.Duration) {
	r.t.Helper()
	for end := time.Now().Add(while); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		require.False(r.t, happens())
	}
}

// values returns the readable values in a Kafka topic.
func (r *promiseRig) values(topic string) []string {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return nil
	}
	defer client.Close()
	ctx, done := context.WithTimeout(context.Background(), exampleTimeout)
	defer done()
	var all []string
	for ctx.Err() == nil && int64(len(all)) < r.kafka.PartitionInfo(topic, 0).HighWatermark {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) { all = append(all, name(string(record.Value))) })
	}
	return all
}

// eventually waits until a topic holds these values.
func (r *promiseRig) eventually(topic string, want ...string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return slices.Equal(want, r.values(topic)) }, exampleTimeout, 20*time.Millisecond, "%s", &found{r, topic})
}

func name(value string) string {
	if value == tooLarge {
		return "large"
	}
	return value
}

// kept returns the messages that the broker still has for the pipeline's client,
// because they were not acknowledged.
func (r *promiseRig) kept() []string {
	r.t.Helper()
	var mu sync.Mutex
	var all []string
	end := make(chan struct{})
	options := paho.NewClientOptions().AddBroker(r.broker.URL()).SetClientID("bridge").SetCleanSession(false).SetOrderMatters(true)
	options.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		mu.Lock()
		defer mu.Unlock()
		if string(m.Payload()) == "end" {
			close(end)
			return
		}
		all = append(all, name(string(m.Payload())))
	})
	client := paho.NewClient(options)
	r.await(client.Connect())
	defer client.Disconnect(0)
	r.await(client.Subscribe("a", 1, nil))
	r.publish("end")
	select {
	case <-end:
	case <-time.After(exampleTimeout):
		require.Fail(r.t, "the end does not come")
	}
	mu.Lock()
	defer mu.Unlock()
	return all
}

// acknowledged waits until the broker has no message in flight to the pipeline.
func (r *promiseRig) acknowledged() {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.broker.InFlight() == 0 }, exampleTimeout, 10*time.Millisecond)
}

// publishAtOnce publishes without waiting for each message.
func (r *promiseRig) publishAtOnce(payloads ...string) {
	r.t.Helper()
	client := r.client("at-once", true)
	var last paho.Token
	for _, payload := range payloads {
		last = client.Publish("a", 1, false, payload)
	}
	r.await(last)
}

func count(values []string, value string) (n int) {
	for _, v := range values {
		if v == value {
			n++
		}
	}
	return n
}

// repeats waits until a topic holds a value n times.
func (r *promiseRig) repeats(topic, value string, n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return count(r.values(topic), value) >= n }, exampleTimeout, 20*time.Millisecond)
}

// found formats the contents of a topic when a message is printed.
type found struct {
	rig   *promiseRig
	topic string
}

func (f *found) String() string {
	return fmt.Sprintf("topic %s holds %q", f.topic, f.rig.values(f.topic))
}
