package mqtt

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// publishes runs a stream that publishes n numbered messages, in batches of five.
func publishes(t *testing.T, n int, yaml string) {
	t.Helper()
	env := service.NewEnvironment()
	require.NoError(t, RegisterOutput(env))
	builder := env.NewStreamBuilder()
	builder.SetThreads(1)
	require.NoError(t, builder.SetLoggerYAML("level: off"))
	produce, err := builder.AddBatchProducerFunc()
	require.NoError(t, err)
	require.NoError(t, builder.AddOutputYAML("mqtt:\n"+yaml))
	s, err := builder.Build()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for i := 0; i < n; i += 5 {
		var batch service.MessageBatch
		for k := i; k < min(i+5, n); k++ {
			m := service.NewMessage([]byte(strconv.Itoa(k)))
			m.MetaSetMut("mqtt_content_type", "text/plain")
			m.MetaSetMut("mqtt_user_properties", []any{map[string]any{"key": "n", "value": strconv.Itoa(k)}})
			m.MetaSetMut("shown", "yes")
			batch = append(batch, m)
		}
		require.NoError(t, produce(ctx, batch))
	}
	require.NoError(t, s.Stop(ctx))
	require.NoError(t, wait(t, done))
}

// What the output publishes arrives at the input with its properties.
func TestOutputStreamThroughTheEmbeddedBroker(t *testing.T) {
	for _, version := range []string{version5, version311} {
		for qos := range 3 {
			t.Run(fmt.Sprintf("MQTT %s QoS %d", version, qos), func(t *testing.T) {
				b := embeddedBroker(t)
				got := make(chan *service.Message, 300)
				subscribed := make(chan error, 1)
				go func() { subscribed <- b.WaitSubscribed(t.Context(), "a/#") }()
				stream(t, fmt.Sprintf("  urls: [%s]\n  topics: [a/#]\n  qos: 2", b.URL()), "", func(_ context.Context, batch service.MessageBatch) error {
					for _, m := range batch {
						got <- m
					}
					return nil
				})
				require.NoError(t, wait(t, subscribed))
				publishes(t, 202, fmt.Sprintf("  urls: [%s]\n  topic: a/${! content().number() %% 3 }\n  qos: %d\n  protocol_version: '%s'\n  clean_session: false\n  client_id: out\n  topic_alias_maximum: 2\n  metadata: { include_patterns: [ shown ] }", b.URL(), qos, version))
				for i := range 202 {
					m := wait(t, got)
					payload, err := m.AsBytes()
					require.NoError(t, err)
					require.Equal(t, strconv.Itoa(i), string(payload))
					topic, _ := m.MetaGet("mqtt_topic")
					require.Equal(t, fmt.Sprintf("a/%d", i%3), topic)
					if version == version5 {
						kind, _ := m.MetaGet("mqtt_content_type")
						user, _ := m.MetaGetMut("mqtt_user_properties")
						require.Equal(t, "text/plain", kind)
						require.Equal(t, []any{map[string]any{"key": "n", "value": strconv.Itoa(i)}, map[string]any{"key": "shown", "value": "yes"}}, user)
					}
				}
			})
		}
	}
}

func TestOutputConnectionTest(t *testing.T) {
	b := embeddedBroker(t)
	out, _ := outputTo(t, b.URL(), "topic: a")
	for _, result := range out.ConnectionTest(t.Context()) {
		require.NoError(t, result.Err)
	}
	out, _ = outputTo(t, "tcp://127.0.0.1:1", "topic: a\nconnect_timeout: 1s")
	for _, result := range out.ConnectionTest(t.Context()) {
		require.ErrorContains(t, result.Err, "connecting to tcp://127.0.0.1:1")
	}
}

func TestOutputAsksAgainIfNothingIsAcknowledged(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept+"ack_timeout: 50ms")
	p := joins(t, b, out, false)
	batch := batchFrom("0")
	done := writes(out, batch)
	p.sees(true, false, "0")
	require.ErrorIs(t, wait(t, done), service.ErrNotConnected)
	require.ErrorContains(t, out.Connect(t.Context()), "the broker has acknowledged none of 1 messages in flight for 50ms, the ack_timeout; the first message in flight is to the topic \"a/b\"")
	out.conf.ackTimeout = patience // this test may be slow to answer
	p = joins(t, b, out, true)
	done = writes(out, batch.Copy())
	p.write(acks(typePuback, p.sees(true, true, "0")...))
	require.NoError(t, wait(t, done))
	leaves(t, out, p)
}

func TestOutputOfASubscribersSessionSaysSo(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept)
	p := joins(t, b, out, false)
	done := writes(out, batchFrom("0"))
	p.sees(true, false, "0")
	p.write(publish5("a", 1, 1, nil, "x"))
	require.ErrorIs(t, wait(t, done), service.ErrNotConnected)
	require.ErrorContains(t, out.Connect(t.Context()), "give the output a client_id of its own")
}

func TestOutputThatTheBrokerMakesWaitIsPinged(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), "topic: a\nkeepalive: 2")
	p := joins(t, b, out, false)
	require.Equal(t, frame{typePingreq << 4, []byte{}}.String(), p.read().String())
	p.write([]byte{typePingresp << 4, 0})
	require.Equal(t, frame{typePingreq << 4, []byte{}}.String(), p.read().String())
	require.Eventually(t, func() bool { c, _ := out.current(); return c.closing.Load() }, patience, time.Millisecond, "no answer")
	require.ErrorContains(t, out.publishing.reason(), "does not answer pings")
}
