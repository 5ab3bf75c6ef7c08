package model

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure" // the parts of a pipeline

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
	"github.com/robustmq/robustmq-connect/tests/scripted"
	"github.com/robustmq/robustmq-connect/tests/seeds"
)

const kafkaTopic = "records"

// environment has the components under test.
var environment = sync.OnceValue(func() *service.Environment {
	env := service.GlobalEnvironment().Clone()
	toBroker := func(ctx context.Context, u *url.URL, _ *tls.Config) (net.Conn, error) {
		return dial(ctx, "tcp", u.Host)
	}
	for _, err := range []error{envelope.Register(env), kafka.Register(env, kafka.DialBy(dial)), mqtt.Register(env, mqtt.DialBy(toBroker))} {
		if err != nil {
			panic(err)
		}
	}
	return env
})

// published is a message that a broker was given.
type published struct {
	topic  string
	number int // from 1, within the topic
	at     time.Time
}

// acked is a message that was acknowledged to a broker, with the end of Kafka's
// partitions at that time.
type acked struct {
	payload string
	ends    []int64 // by partition
}

// site is a broker with the network in front of it, and its own topics.
type site struct {
	link   *link
	broker *scripted.Broker
	topics []string
}

// world is one or two brokers, a Kafka, and the pipeline between them.
type world struct {
	plan    plan
	rand    *rand.Rand
	more    *rand.Rand // for what was added later
	log     *seeds.Journal
	sites   []*site
	cluster *kfake.Cluster
	kafka   *link

	stream *service.Stream
	ended  chan error

	sent     map[string]published // by payload
	counts   map[string]int       // by topic
	restarts int
	refused  bool // whether Kafka was told to refuse records
	faults   []*kfake.FaultHandle
	calmed   chan struct{} // closed when there are no more faults

	mu    sync.Mutex
	acked []acked
}

// worlds makes the addresses of worlds unique.
var worlds atomic.Int64

func newWorld(seed uint64, log *seeds.Journal) (*world, error) {
	r := rand.New(rand.NewPCG(seed, 0))
	more := rand.New(rand.NewPCG(seed, 2))
	w := &world{plan: newPlan(r, more), rand: r, more: more, log: log, sent: map[string]published{}, counts: map[string]int{}, calmed: make(chan struct{})}
	log.Add("%s", w.plan)
	n := worlds.Add(1)
	delay := w.latency(seed)
	w.kafka = newLink(fmt.Sprintf("kafka%d:9092", n))
	w.kafka.delay = delay
	// One node: the client's connections to two would wait for each other in a mutex,
	// and in a bubble time stops in the meantime.
	var err error
	w.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(w.plan.parts, kafkaTopic),
		kfake.MaxVersions(kversion.V3_6_0()), // which asks for no telemetry, whose gzip takes the most memory
		kfake.ListenFn(func(string, string) (net.Listener, error) { return w.kafka, nil }))
	if err != nil {
		return nil, err
	}
	for i := range w.plan.sites {
		s := &site{link: newLink(fmt.Sprintf("mqtt%d:%d", n, 1883+i))}
		s.link.delay = delay
		s.broker = scripted.Start(s.link, scripted.Options{
			Script: []scripted.Behaviour{{Window: w.plan.window, Dup: w.plan.dup}}, Only311: w.plan.only311, OnAck: w.onAck,
		})
		for _, topic := range w.plan.topics {
			s.topics = append(s.topics, fmt.Sprintf("%s/%d", topic, i))
		}
		w.sites = append(w.sites, s)
	}
	return w, w.start()
}

// latency returns the duration of each write, or nil for none.
func (w *world) latency(seed uint64) func() time.Duration {
	if !w.plan.latency {
		return nil
	}
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return duration(r, 20*time.Millisecond)
	}
}

func (w *world) onAck(m scripted.Message) {
	a := acked{payload: m.Payload}
	for _, p := range w.cluster.PartitionInfos(kafkaTopic) {
		a.ends = append(a.ends, p.HighWatermark)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, a)
}

func (w *world) isAcked(payload string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.acked {
		if a.payload == payload {
			return true
		}
	}
	return false
}

// start runs the pipeline.
func (w *world) start() error {
	builder := environment().NewStreamBuilder()
	builder.SetHTTPMux(http.NewServeMux())
	builder.SetThreads(1)
	builder.DisableLinting() // the same lines each time, at an eighth of the CPU
	builder.SetLogger(w.log.Logger(slog.LevelInfo))
	for _, err := range []error{
		builder.SetMetricsYAML("none: {}"),
		builder.AddInputYAML(w.plan.input(w.sites)),
		builder.AddOutputYAML(w.plan.output(w.kafka)),
	} {
		if err != nil {
			return err
		}
	}
	var err error
	if w.stream, err = builder.Build(); err != nil {
		return err
	}
	w.ended = make(chan error, 1)
	ended, stream := w.ended, w.stream
	go func() { ended <- stream.Run(context.Background()) }()
	return nil
}

// stop ends the pipeline as a signal would.
func (w *world) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.stream.Stop(ctx); err != nil {
		return fmt.Errorf("stopping the pipeline: %w", err)
	}
	return <-w.ended
}

// close returns when nothing of the world runs any more.
func (w *world) close() {
	w.calm()
	for _, s := range w.sites {
		s.broker.Close()
	}
	w.cluster.Close()
	w.kafka.end()
	time.Sleep(time.Second) // for sleeping goroutines: in a bubble nothing wakes up after its end
}

// publish gives a broker n messages and returns the last.
func (w *world) publish(s *site, n int, topics ...string) (payload string) {
	var batch []scripted.Message
	for range n {
		topic := pick(w.rand, topics...)
		w.counts[topic]++
		payload = fmt.Sprintf("%s %d %s", topic, w.counts[topic], strings.Repeat(".", int(duration(w.rand, 200))))
		w.sent[payload] = published{topic, w.counts[topic], time.Now()}
		batch = append(batch, scripted.Message{Topic: topic, QoS: qosOf(topic), Payload: payload})
	}
	s.broker.Publish(batch...)
	return payload
}

// qosOf returns the QoS of the messages of a topic, which is in its name.
func qosOf(topic string) byte { return topic[2] - '0' }
