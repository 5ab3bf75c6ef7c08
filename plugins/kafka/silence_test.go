package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/tests/logtext"
)

// network is an in-memory network, so that a test of long times runs quickly. It can be
// frozen (connections stay open and nothing passes), or refuse connections.
type network struct {
	kfake.VirtualNetwork

	mu     sync.Mutex
	thawed chan struct{} // nil unless frozen
	refuse bool
	conns  []net.Conn
}

func (n *network) freeze() (back func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	thawed := make(chan struct{})
	n.thawed = thawed
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.thawed = nil
		close(thawed)
	}
}

func (n *network) cut() (back func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = true
	for _, conn := range n.conns {
		conn.Close()
	}
	n.conns = nil
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.refuse = false
	}
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	refuse := n.refuse
	n.mu.Unlock()
	if refuse {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092}, Err: syscall.ECONNREFUSED}
	}
	conn, err := n.DialContext(ctx, "tcp", address)
	if err == nil {
		n.mu.Lock()
		n.conns = append(n.conns, conn)
		n.mu.Unlock()
	}
	return conn, err
}

func (n *network) listen(network, address string) (net.Listener, error) {
	ln, err := n.Listen(network, address)
	return &freezing{ln, n}, err
}

type freezing struct {
	net.Listener
	n *network
}

func (f *freezing) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &freezingConn{conn, f.n}, nil
}

type freezingConn struct {
	net.Conn
	n *network
}

// Read waits while the network is frozen.
func (c *freezingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.mu.Lock()
	thawed := c.n.thawed
	c.n.mu.Unlock()
	if thawed != nil {
		<-thawed
	}
	return n, err
}

// silenced is a stream of the engine to a Kafka behind the network. It writes a message
// every 100 ms.
type silenced struct {
	net     *network
	cluster *kfake.Cluster
	log     *logtext.Text
	mux     *http.ServeMux
	stream  *service.Stream
	ended   chan error
}

func startSilenced(t *testing.T, fields string) *silenced {
	t.Helper()
	s := &silenced{net: new(network), log: new(logtext.Text), mux: http.NewServeMux(), ended: make(chan error, 1)}
	s.cluster = cluster(t, 1, kfake.ListenFn(s.net.listen), kfake.Ports(9092))
	env := service.GlobalEnvironment().Clone()
	require.NoError(t, Register(env, DialBy(s.net.dial)))
	builder := env.NewStreamBuilder()
	builder.SetHTTPMux(s.mux)
	builder.SetThreads(1)
	builder.SetLogger(slog.New(slog.NewTextHandler(s.log, nil)))
	require.NoError(t, builder.SetMetricsYAML("prometheus: {}"))
	require.NoError(t, builder.AddInputYAML(`generate: { interval: 100ms, mapping: 'root = "%06d".format(counter() - 1)' }`))
	require.NoError(t, builder.AddOutputYAML(fmt.Sprintf(`kafka_franz: { seed_brokers: [ "localhost:9092" ], topic: t, %s }`, fields)))
	var err error
	s.stream, err = builder.Build()
	require.NoError(t, err)
	go func() { s.ended <- s.stream.Run(context.Background()) }()
	return s
}

func (s *silenced) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, s.stream.StopWithin(time.Minute))
	require.NoError(t, <-s.ended)
}

func (s *silenced) get(path string) (status int, body string) {
	recorder := httptest.NewRecorder()
	s.mux.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	return recorder.Code, recorder.Body.String()
}

func (s *silenced) blocked(t *testing.T) string {
	t.Helper()
	_, body := s.get("/metrics")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "kafka_output_blocked{") {
			return strings.TrimSpace(line[strings.LastIndex(line, " "):])
		}
	}
	t.Fatal("no metric kafka_output_blocked")
	return ""
}

// written returns the messages in Kafka.
func (s *silenced) written(t *testing.T) []string {
	t.Helper()
	return values(t, s.cluster, "t", kgo.Dialer(s.net.DialContext))
}

// Kafka becomes unavailable. The log, the gauge and /ready report it within the times
// stated in resources/docs/delivery.md.
func TestSilenceIsReported(t *testing.T) {
	for strategy, fields := range map[string]string{
		"block":       "failure_strategy: block",
		"no strategy": "compression: none",
	} {
		for _, test := range []struct {
			name   string
			away   func(*network) (back func())
			after  time.Duration // the log line and the gauge
			ready  time.Duration // the reason
			reason string
		}{
			{"frozen", (*network).freeze, 5 * time.Second, 10 * time.Second, "reaching Kafka at localhost:9092: no answer within 4s"},
			{"refused", (*network).cut, 1500 * time.Millisecond, 2 * time.Second, "reaching Kafka at localhost:9092: unable to dial: dial tcp 127.0.0.1:9092: connection refused"},
		} {
			t.Run(strategy+" "+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := startSilenced(t, fields)
					time.Sleep(10*time.Second + 50*time.Millisecond)
					status, _ := s.get("/ready")
					require.Equal(t, http.StatusOK, status)
					require.Empty(t, s.log.Lines("level=WARN"))

					back := test.away(s.net)
					time.Sleep(50 * time.Millisecond) // until the next message
					time.Sleep(test.after)
					require.Len(t, s.log.Lines("Kafka has acknowledged nothing of a batch of 1 messages"), 1)
					require.Equal(t, "1", s.blocked(t))
					status, _ = s.get("/ready")
					require.Equal(t, http.StatusServiceUnavailable, status)

					time.Sleep(test.ready - test.after)
					status, body := s.get("/ready")
					require.Equal(t, http.StatusServiceUnavailable, status)
					require.Contains(t, body, test.reason)
					require.Len(t, s.log.Lines(test.reason), 1, "the engine has logged it")

					time.Sleep(10 * time.Second)
					back()
					time.Sleep(10 * time.Second)
					status, _ = s.get("/ready")
					require.Equal(t, http.StatusOK, status)
					require.Equal(t, "0", s.blocked(t))
					require.Len(t, s.log.Lines("Kafka acknowledges again"), 1)

					s.stop(t)
					written := s.written(t)
					require.Greater(t, len(written), 100)
					require.Equal(t, numbers(0, len(written)), written, "each once, in order")
					s.cluster.Close()
				})
			})
		}
	}
}

// With several batches in flight the output cannot hold one, so it stays ready; the log
// and the gauge still report the silence.
func TestSilenceOfParallelBatchesIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSilenced(t, "max_in_flight: 2")
		time.Sleep(10*time.Second + 50*time.Millisecond)
		back := s.net.freeze()
		time.Sleep(5*time.Second + 50*time.Millisecond)
		require.Len(t, s.log.Lines("Kafka has acknowledged nothing of a batch of 1 messages"), 1)
		require.Equal(t, "1", s.blocked(t))
		back()
		time.Sleep(10 * time.Second)
		require.Equal(t, "0", s.blocked(t))
		require.Len(t, s.log.Lines("Kafka acknowledges again"), 1)
		s.stop(t)
		s.cluster.Close()
	})
}

// A batch is not silent while Kafka acknowledges a part of it from time to time,
// however long the batch takes.
func TestSlowProgressIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSilenced(t, "failure_strategy: block")
		s.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.cluster.KeepControl()
			s.cluster.SleepControl(func() { time.Sleep(4500 * time.Millisecond) })
			return nil, nil, false
		})
		time.Sleep(time.Minute)
		status, _ := s.get("/ready")
		require.Equal(t, http.StatusOK, status)
		require.Empty(t, s.log.Lines("level=WARN"))
		s.stop(t)
		s.cluster.Close()
	})
}

// An outage of two hours is logged at its beginning and then at growing intervals.
func TestOutageDoesNotFloodTheLog(t *testing.T) {
	for name, away := range map[string]func(*network) (back func()){"frozen": (*network).freeze, "refused": (*network).cut} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := startSilenced(t, "failure_strategy: block")
				time.Sleep(10 * time.Second)
				back := away(s.net)
				count := func() int { return len(s.log.Lines("level=WARN")) + len(s.log.Lines("level=ERROR")) }
				time.Sleep(time.Minute)
				first := count()
				require.Positive(t, first)
				require.LessOrEqual(t, first, 12)
				time.Sleep(time.Hour)
				hour := count()
				require.Greater(t, hour, first, "there are reminders")
				time.Sleep(time.Hour)
				require.LessOrEqual(t, count()-hour, 12, "at growing intervals")
				back()
				time.Sleep(10 * time.Second)
				status, _ := s.get("/ready")
				require.Equal(t, http.StatusOK, status)
				s.stop(t)
				s.cluster.Close()
			})
		})
	}
}
