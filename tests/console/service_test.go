//go:build integration

package console

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

const token = "a-token-for-the-tests-of-the-console"

// world is a service with a broker and a Kafka.
type world struct {
	t       *testing.T
	broker  *embedded.Broker
	kafka   *embedded.Kafka
	client  *kgo.Client
	mqtt    paho.Client
	service *program.Process
	root    string
	began   time.Time // when the service was started
}

// newWorld starts a service with further flags, in which KAFKA and API stand for addresses.
func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	w.broker, err = embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(w.broker.Close)
	w.kafka, err = embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(w.kafka.Close)
	w.client, err = kgo.NewClient(kgo.SeedBrokers(w.kafka.Addr()))
	require.NoError(t, err)
	t.Cleanup(w.client.Close)
	w.mqtt = paho.NewClient(paho.NewClientOptions().AddBroker(w.broker.URL()).SetClientID("publisher"))
	answer := w.mqtt.Connect()
	require.True(t, answer.WaitTimeout(patience))
	require.NoError(t, answer.Error())
	t.Cleanup(func() { w.mqtt.Disconnect(0) })

	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
	program.Path(t) // it is built before the clock runs
	address := program.FreeAddress(t)
	w.began = time.Now()
	args := []string{"serve", "--mqtt-url", w.broker.URL(), "--listen", address, "--api-token-file", file}
	store := []string{"--store", t.TempDir()}
	for _, flag := range flags {
		if strings.HasPrefix(flag, "--store=") {
			store = nil
		}
		args = append(args, strings.NewReplacer("KAFKA", w.kafka.Addr(), "API", address).Replace(flag))
	}
	w.service = program.Start(t, address, append(args, store...)...)
	w.service.WaitReady()
	w.root = "http://" + address
	return w
}

// publish sends a message of QoS 1.
func (w *world) publish(topic, payload string) {
	w.t.Helper()
	answer := w.mqtt.Publish(topic, 1, false, payload)
	require.True(w.t, answer.WaitTimeout(patience))
	require.NoError(w.t, answer.Error())
}

// topic makes a topic that takes records up to a size.
func (w *world) topic(name, size string) {
	w.t.Helper()
	_, err := kadm.NewClient(w.client).CreateTopic(w.t.Context(), 1, 1, map[string]*string{"max.message.bytes": &size}, name)
	require.NoError(w.t, err)
}

// allow lets a topic take records up to a size.
func (w *world) allow(name, size string) {
	w.t.Helper()
	_, err := kadm.NewClient(w.client).AlterTopicConfigs(w.t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &size}}, name)
	require.NoError(w.t, err)
}

// records counts those of a topic.
func (w *world) records(topic string) (n int64) {
	ends, err := kadm.NewClient(w.client).ListEndOffsets(w.t.Context(), topic)
	if err != nil {
		return 0
	}
	ends.Each(func(o kadm.ListedOffset) { n += max(0, o.Offset) })
	return n
}

// call runs a command of the program against the service.
func (w *world) call(args ...string) program.Result {
	w.t.Helper()
	return program.Call(w.t, "", []string{"ROBUSTMQ_API_URL=" + w.root, "ROBUSTMQ_API_TOKEN=" + token}, program.Path(w.t),
		append([]string{"mqtt", "connector"}, args...)...)
}

// create makes a connector by the command, as somebody else does.
func (w *world) create(name, topic, filter string, more ...string) {
	w.t.Helper()
	config := `{"bootstrap_servers":"` + w.kafka.Addr() + `","topic":"` + topic + `"}`
	done := w.call(append([]string{"create", "-n", name, "-c", config, "-p", filter}, more...)...)
	require.Equal(w.t, 0, done.Code, done.Stderr)
}

// login logs a browser in.
func (w *world) login(b *browser) {
	w.t.Helper()
	b.open("/")
	b.fill("#token", token)
	b.click("Log in")
	b.sees("h1", "Connectors")
}

// stream publishes messages to a topic until the test ends.
func (w *world) stream(topic string, every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		beat := time.NewTicker(every)
		defer beat.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
				w.mqtt.Publish(topic, 1, false, `{"temperature":`+strings.Repeat("2", 2)+`}`).WaitTimeout(patience)
			}
		}
	}()
	w.t.Cleanup(func() { cancel(); <-ended })
}
