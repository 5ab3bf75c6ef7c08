package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/embedded"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
)

// stream runs the input in the engine until the returned function is called.
func stream(t *testing.T, input, processors string, consume service.MessageBatchHandlerFunc) (stop func()) {
	t.Helper()
	env := service.NewEnvironment()
	require.NoError(t, Register(env))
	builder := env.NewStreamBuilder()
	builder.SetThreads(1)
	require.NoError(t, builder.SetLoggerYAML("level: off"))
	require.NoError(t, builder.AddInputYAML("mqtt:\n"+input))
	if processors != "" {
		require.NoError(t, builder.AddProcessorYAML(processors))
	}
	require.NoError(t, builder.AddBatchConsumerFunc(consume))
	s, err := builder.Build()
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			// Stop fails until Run has started.
			require.Eventually(t, func() bool { return s.Stop(ctx) == nil }, patience, time.Millisecond)
			require.NoError(t, wait(t, done))
		})
	}
	t.Cleanup(stop)
	return stop
}

func embeddedBroker(t *testing.T) *embedded.Broker {
	t.Helper()
	b, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func publisher(t *testing.T, b *embedded.Broker) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID("publisher").SetAutoReconnect(false))
	token := c.Connect()
	require.True(t, token.WaitTimeout(patience))
	require.NoError(t, token.Error())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func send(t *testing.T, c paho.Client, qos byte, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		token := c.Publish("a/b", qos, false, strconv.Itoa(i))
		require.True(t, token.WaitTimeout(patience))
		require.NoError(t, token.Error())
	}
}

// received collects payloads in order of arrival.
type received struct {
	mu  sync.Mutex
	all []string
}

func (r *received) take(batch service.MessageBatch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range batch {
		b, _ := m.AsBytes() // a message from the input has bytes
		r.all = append(r.all, string(b))
	}
}

func (r *received) payloads() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

func (r *received) len() int { return len(r.payloads()) }

func (r *received) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = nil
}

func TestStreamThroughTheEmbeddedBroker(t *testing.T) {
	for _, version := range []string{version5, version311} {
		for _, qos := range []byte{0, 1, 2} {
			t.Run(fmt.Sprintf("MQTT %s QoS %d", version, qos), func(t *testing.T) {
				b := embeddedBroker(t)
				r := new(received)
				subscribed := make(chan error, 1)
				go func() { subscribed <- b.WaitSubscribed(t.Context(), "a/#") }()
				stop := stream(t, fmt.Sprintf("  urls: [%s]\n  topics: [a/#]\n  client_id: s\n  qos: %d\n  clean_session: false\n  protocol_version: '%s'", b.URL(), qos, version), "",
					func(_ context.Context, batch service.MessageBatch) error {
						r.take(batch)
						return nil
					})
				require.NoError(t, wait(t, subscribed))
				c := publisher(t, b)
				send(t, c, qos, 0, 200)
				require.Eventually(t, func() bool { return r.len() >= 200 }, patience, time.Millisecond)
				for i, payload := range r.payloads() {
					require.Equal(t, strconv.Itoa(i), payload)
				}
				stop()

				// The broker keeps the messages that arrive while no client is
				// connected, and none that were acknowledged.
				send(t, c, qos, 200, 250)
				require.Eventually(t, func() bool { return b.Received() == 250 }, patience, time.Millisecond, "messages of QoS 0 are not confirmed")
				want := 0
				if qos > 0 {
					want = 50
				}
				r.forget()
				stream(t, fmt.Sprintf("  urls: [%s]\n  topics: [a/#]\n  client_id: s\n  qos: %d\n  clean_session: false\n  protocol_version: '%s'", b.URL(), qos, version), "",
					func(_ context.Context, batch service.MessageBatch) error {
						r.take(batch)
						return nil
					})
				require.Eventually(t, func() bool { return r.len() >= want }, patience, time.Millisecond)
				require.Never(t, func() bool { return r.len() > want }, 50*time.Millisecond, 5*time.Millisecond)
			})
		}
	}
}

func TestStreamRetriesRejectedMessages(t *testing.T) {
	b := newScripted(t)
	var calls atomic.Int64
	stream(t, "  urls: ["+b.url()+"]\n  topics: [a]\n  protocol_version: 3.1.1", "",
		func(context.Context, service.MessageBatch) error {
			if calls.Add(1) < 3 {
				return errors.New("not now")
			}
			return nil
		})
	p := b.accept()
	p.welcome(false, true)
	p.write(publish("a", 1, 1, "x"))
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	require.Equal(t, int64(3), calls.Load())
}

func TestStreamAcksMessagesThatAProcessorDrops(t *testing.T) {
	b := newScripted(t)
	r := new(received)
	stream(t, "  urls: ["+b.url()+"]\n  topics: [a]\n  protocol_version: 3.1.1", "mapping: 'root = if content() == \"drop\" { deleted() }'",
		func(_ context.Context, batch service.MessageBatch) error {
			r.take(batch)
			return nil
		})
	p := b.accept()
	p.welcome(false, true)
	p.write(publish("a", 1, 1, "drop"))
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	p.write(publish("a", 1, 2, "keep"), publish("a", 1, 3, "drop"))
	require.Equal(t, ackOf(typePuback, 2), p.read().String())
	require.Equal(t, ackOf(typePuback, 3), p.read().String())
	require.Equal(t, []string{"keep"}, r.payloads())
}

func TestStreamWithoutReplayLetsTheBrokerRedeliver(t *testing.T) {
	b := newScripted(t)
	var calls atomic.Int64
	stream(t, "  urls: ["+b.url()+"]\n  topics: [a]\n  clean_session: false\n  client_id: x\n  auto_replay_nacks: false\n  protocol_version: 3.1.1", "",
		func(context.Context, service.MessageBatch) error {
			if calls.Add(1) == 1 {
				return errors.New("not now")
			}
			return nil
		})
	p := b.accept()
	p.welcome(false, true)
	p.write(publish("a", 1, 1, "x"))
	require.Equal(t, []frame{{0xe0, []byte{}}}, p.gone())
	p.conn.Close()
	p = b.accept()
	p.welcome(true, false)
	p.write(publish("a", 1, 1, "x"))
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
}
