package kafka

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure" // generate
)

// stream is a stream of the engine that writes count messages, in batches of ten, to
// the topic t.
type stream struct {
	mux    *http.ServeMux
	ended  chan error
	stream *service.Stream
}

func startStream(t *testing.T, brokers []string, count int) *stream {
	t.Helper()
	return startStreamTo(t, count, fmt.Sprintf(
		`kafka_franz: { seed_brokers: [ %q ], topic: t, failure_strategy: block, timeout: 200ms, request_timeout_overhead: 300ms }`, brokers[0]))
}

func startStreamTo(t *testing.T, count int, output string) *stream {
	t.Helper()
	env := service.GlobalEnvironment().Clone()
	require.NoError(t, Register(env))
	s := &stream{mux: http.NewServeMux(), ended: make(chan error, 1)}
	builder := env.NewStreamBuilder()
	builder.SetHTTPMux(s.mux)
	builder.SetThreads(1)
	require.NoError(t, builder.SetLoggerYAML("level: none"))
	require.NoError(t, builder.AddInputYAML(fmt.Sprintf(
		`generate: { count: %d, interval: 1ms, batch_size: 10, mapping: 'root = "%%06d".format(counter() - 1)' }`, count)))
	require.NoError(t, builder.AddOutputYAML(output))
	var err error
	s.stream, err = builder.Build()
	require.NoError(t, err)
	go func() { s.ended <- s.stream.Run(context.Background()) }()
	t.Cleanup(func() { _ = s.stream.StopWithin(5 * time.Second) })
	return s
}

func (s *stream) ready() (int, string) {
	recorder := httptest.NewRecorder()
	s.mux.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/ready", nil))
	return recorder.Code, recorder.Body.String()
}

func (s *stream) requireNotReady(t *testing.T, want string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		status, body := s.ready()
		require.Equal(c, http.StatusServiceUnavailable, status)
		require.Contains(c, body, want)
	}, patience, 5*time.Millisecond)
}

func (s *stream) requireEnd(t *testing.T) {
	t.Helper()
	select {
	case err := <-s.ended:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Fatal("the stream does not continue")
	}
}

// The engine calls Connect after ErrNotConnected, shows its error in the readiness
// report, and hands over the same batch again.
func TestEngineHoldsTheBatch(t *testing.T) {
	c := cluster(t, 1)
	handle := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1, When: every(5)})
	s := startStream(t, c.ListenAddrs(), 500)
	s.requireNotReady(t, "TOPIC_AUTHORIZATION_FAILED")
	s.requireNotReady(t, "give the user WRITE and DESCRIBE")
	handle.Remove()
	s.requireEnd(t)
	require.Equal(t, numbers(0, 500), values(t, c, "t"))
}

// every lets n requests pass and refuses the ones after it.
func every(n int) func(kmsg.Request) bool {
	seen := 0
	return func(kmsg.Request) bool {
		seen++
		return seen > n
	}
}

// When Kafka becomes unavailable, the stream is not ready; everything is written once
// and in order when Kafka is back.
func TestStreamIsNotReadyWhileKafkaIsUnavailable(t *testing.T) {
	for name, away := range map[string]func(g *gate) (back func()){
		"cut":    func(g *gate) func() { g.Cut(); return g.Restore },
		"frozen": func(g *gate) func() { g.frozen.Lock(); return g.frozen.Unlock },
	} {
		t.Run(name, func(t *testing.T) {
			c, g := gated(t)
			s := startStream(t, c.ListenAddrs(), 5000)
			require.Eventually(t, func() bool { status, _ := s.ready(); return status == http.StatusOK }, patience, time.Millisecond)
			back := away(g)
			s.requireNotReady(t, "reaching Kafka at "+c.ListenAddrs()[0])
			back()
			s.requireEnd(t)
			require.Equal(t, numbers(0, 5000), values(t, c, "t"))
		})
	}
}
