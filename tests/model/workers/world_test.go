package workers

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/robustmq/robustmq-connect/tests/seeds"
)

// records is the topic of all connectors.
const records = "records"

// plan is what a seed does.
type plan struct {
	workers int // at the start
	names   int
	steps   int
	faults  bool
	deaths  bool          // workers end and are killed
	old     bool          // Kafka is an old one
	quiet   int           // percent of the pauses that are long
	pinned  int           // names that are never deleted
	publish int           // percent of the seconds in which a name gets a message
	slow    time.Duration // how long Kafka takes for the records of connectors
	members int           // that a connector has at most
}

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

func pick[T any](r *rand.Rand, options ...T) T { return options[r.IntN(len(options))] }

// duration returns mostly short durations.
func duration(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(float64(most) * r.Float64() * r.Float64())
}

// newPlan makes the plan. Decisions that were added later use more and most, so that
// existing seeds keep the rest of their scenario.
func newPlan(r, more, most *rand.Rand) plan {
	p := plan{
		workers: 1 + r.IntN(4), names: 1 + r.IntN(5), steps: 4 + r.IntN(16),
		faults: chance(r, 80), deaths: chance(r, 60), old: chance(r, 50),
		quiet: pick(r, 0, 10, 30), pinned: r.IntN(3), publish: pick(r, 10, 50),
	}
	p.slow = pick(more, 0, 0, time.Second, 2*time.Second)
	p.members = pick(most, 1, 2, 3)
	return p
}

// world is the workers of a seed, with all that they need.
type world struct {
	plan    plan
	rand    *rand.Rand // of the plan
	more    *rand.Rand // for what was added later
	log     *seeds.Journal
	net     *network
	always  *gate // of the test itself: it is never closed
	kafka   *gate // of Kafka, for workers
	cluster *kfake.Cluster
	broker  *broker
	client  *http.Client
	names   []*subject
	ticking chan struct{} // closed to end ticks
	ticked  chan struct{} // closed when they have ended
	silent  atomic.Bool   // nothing is published any more
	ops     sync.WaitGroup

	mu        sync.Mutex
	workers   []*worker // all that there were
	faults    []*fault  // that there were
	marked    time.Time // when something began or ended last that moves connectors
	disturbed time.Time // when that was a fault or a death
	forgets   bool      // a worker has died in a rebalance: see patient
	slowest   time.Duration
	failures  []error
}

func newWorld(seed uint64, log *seeds.Journal) (*world, error) {
	r, more, most := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3))
	w := &world{
		plan: newPlan(r, more, most), rand: r, more: more, log: log, net: newNetwork(), always: newGate(), kafka: newGate(),
		ticking: make(chan struct{}), ticked: make(chan struct{}), marked: time.Now(),
	}
	log.Add("%+v", w.plan)
	w.client = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, to string) (net.Conn, error) {
			return w.net.dial(ctx, "client", w.always, to)
		},
	}}
	listener := w.net.listen(kafkaAddress, func(client *gate) *gate {
		if client == w.always {
			return w.always
		}
		return w.kafka
	})
	options := []kfake.Opt{
		// One node: a client's connections to two would wait for each other in a mutex, and
		// in a bubble time stops in the meantime.
		kfake.NumBrokers(1), kfake.SeedTopics(1, records),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }),
	}
	if w.plan.old {
		options = append(options, kfake.MaxVersions(kversion.V3_6_0()))
	}
	var err error
	if w.cluster, err = kfake.NewCluster(options...); err != nil {
		return nil, err
	}
	if w.broker, err = startBroker(w.net, w.always, log); err != nil {
		w.cluster.Close()
		return nil, err
	}
	if w.plan.slow > 0 {
		w.slowDown()
	}
	for i := range w.plan.names {
		w.names = append(w.names, newSubject(i, w.plan.members))
	}
	for range w.plan.workers {
		w.newWorker()
	}
	go w.tick(rand.New(rand.NewPCG(seed, 1)))
	return w, nil
}

// fail records what was wrong.
func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failures) < 3 {
		w.log.Add("WRONG: %v", err)
		w.failures = append(w.failures, err)
	}
}

func (w *world) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.failures...)
}

// living returns the workers that were not told to end.
func (w *world) living() []*worker {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.workers), func(k *worker) bool { return !k.lives() })
}

// mark says that something begins or ends that moves connectors.
func (w *world) mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marked = time.Now()
}

// disturb is mark for what may let one worker take a session from another.
func (w *world) disturb() {
	w.mark()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disturbed = time.Now()
}

// tick publishes messages and looks at the connectors, once a second.
func (w *world) tick(r *rand.Rand) {
	defer close(w.ticked)
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		select {
		case <-w.ticking:
			return
		case <-beat.C:
		}
		// The broker loses a message that comes while it takes a session over.
		synctest.Wait()
		hindered := w.hindered()
		for _, s := range w.names {
			w.look(s, hindered)
			if chance(r, w.plan.publish) && !w.silent.Load() {
				w.publish(s)
			}
		}
	}
}

// publish publishes a message for a name, if its session is there.
func (w *world) publish(s *subject) {
	live := w.broker.running(s.clientID(0))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.joined && live != nil && !live.since.Before(s.made) && len(s.may) == 1 && !s.may[state{}] {
		s.joined = true
	}
	if !s.joined || s.deleting {
		return
	}
	m := &message{number: len(s.messages) + 1}
	s.messages = append(s.messages, m)
	if err := w.broker.publish(s.topic, strconv.Itoa(m.number)); err != nil {
		w.fail(err)
	}
}

// close returns when nothing of the world runs any more.
func (w *world) close() {
	w.calm()
	close(w.ticking)
	<-w.ticked
	w.ops.Wait()
	w.mu.Lock()
	all := slices.Clone(w.workers)
	w.mu.Unlock()
	for _, k := range all {
		k.end()
	}
	for _, k := range all {
		<-k.ended
	}
	w.client.CloseIdleConnections()
	w.broker.close()
	w.cluster.Close()
	time.Sleep(5 * time.Minute) // for sleeping goroutines: in a bubble nothing wakes up after its end
}
