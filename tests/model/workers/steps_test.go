package workers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/seeds"
)

// most is the largest number of workers that live at a time.
const most = 4

// simulate runs a seed and returns what was wrong, and how long connectors were without
// a connection at most. It must be called in a bubble of testing/synctest.
func simulate(seed uint64, log *seeds.Journal) (took time.Duration, err error) {
	w, err := newWorld(seed, log)
	if err != nil {
		return 0, err
	}
	defer w.close()
	for range w.plan.steps {
		w.step()
		if err := w.err(); err != nil {
			return w.slowest, err
		}
	}
	w.finish()
	return w.slowest, w.err()
}

// step makes one random step.
func (w *world) step() {
	r := w.rand
	pause := duration(r, 10*time.Second)
	if chance(r, w.plan.quiet) {
		pause = 40*time.Second + duration(r, time.Minute)
	}
	time.Sleep(pause)
	// All are drawn, so that the plan is the same for each run.
	living := w.living()
	s, k, n, filter := pick(r, w.names...), r.IntN(most), r.IntN(1000), pick(r, "/#", "/#", "/#", "/+")
	what, paused, f := r.IntN(100), chance(r, 15), w.newFault(r)
	switch {
	case len(living) == 0:
		w.mark()
		w.newWorker()
	case what < 55:
		w.change(living[k%len(living)], s, what, n, filter, paused)
	case what < 60:
		w.read(living[k%len(living)], s)
	case what < 70:
		if len(living) < most {
			w.log.Add("a worker joins")
			w.mark()
			w.newWorker()
		}
	case what < 80:
		if w.plan.deaths {
			w.lose(living[k%len(living)], n)
		}
	default:
		if w.plan.faults {
			hit := living[k%len(living)]
			one := f(hit)
			one.hits = hit
			w.begin(one)
		}
	}
}

// change begins an operation on a name, unless one is under way.
func (w *world) change(k *worker, s *subject, what, n int, filter string, paused bool) {
	s.mu.Lock()
	busy := s.busy
	s.busy = true
	s.mu.Unlock()
	if busy {
		return
	}
	now, sure := s.certain()
	op := update(s, n, filter)
	switch {
	case sure && !now.exists && what < 50, what < 3:
		op = create(s, n, filter, paused)
	case what < 15:
	case what < 25 && s != w.names[0] && len(w.names) > w.plan.pinned:
		op = remove(s)
	case what < 35:
		op = pause(s)
	case what < 45:
		op = resume(s)
	default:
		op = restart(s)
	}
	w.ops.Go(func() {
		w.operate(k, s, op)
		s.mu.Lock()
		s.busy = false
		s.mu.Unlock()
	})
}

// read asks a worker for what it knows.
func (w *world) read(k *worker, s *subject) {
	w.ops.Go(func() {
		began := time.Now()
		_, o, why := w.ask(k, http.MethodGet, admin.PathList+"?limit=100", nil)
		w.log.Add("list by %s is %s after %s: %s", k.name, o, time.Since(began), why)
		_, o, why = w.ask(k, http.MethodGet, admin.PathDetail+"?tenant=default&connector_name="+s.name, nil)
		w.log.Add("detail of %s by %s is %s: %s", s.name, k.name, o, why)
	})
}

// lose ends a worker.
func (w *world) lose(k *worker, n int) {
	kind := n % 3
	if !w.plan.faults {
		kind = 0
	}
	if kind > 0 && !w.stable() {
		w.mu.Lock()
		w.forgets = true
		w.mu.Unlock()
	}
	switch kind {
	case 0:
		w.log.Add("%s ends", k.name)
		w.mark()
		k.end()
	case 1:
		w.log.Add("%s is killed", k.name)
		w.disturb()
		k.kill()
	case 2:
		// Its machine is gone: nobody is told.
		w.log.Add("%s vanishes", k.name)
		w.disturb()
		k.leave()
		for _, g := range k.gates() {
			g.closeForGood(frozen)
		}
		w.ops.Go(func() {
			time.Sleep(time.Minute)
			w.disturb()
			k.kill()
		})
	}
}

// fault is one that is not over.
type fault struct {
	what       string
	begin, end func()
	lasts      time.Duration
	// hinders: connectors may be without a connection while it lasts, and not only those
	// of the worker that it hits.
	hinders bool
	hits    *worker
	over    bool
}

// begin begins a fault, which ends by itself.
func (w *world) begin(f *fault) {
	w.log.Add("%s for %s", f.what, f.lasts)
	w.disturb()
	w.mu.Lock()
	w.faults = append(w.faults, f)
	w.mu.Unlock()
	f.begin()
	w.ops.Go(func() {
		time.Sleep(f.lasts)
		w.over(f)
	})
}

func (w *world) over(f *fault) {
	w.mu.Lock()
	was := f.over
	f.over = true
	w.mu.Unlock()
	if was {
		return
	}
	w.log.Add("over: %s", f.what)
	f.end()
	w.disturb()
}

// calm ends every fault. It may be called twice.
func (w *world) calm() {
	w.mu.Lock()
	all := w.faults
	w.mu.Unlock()
	for _, f := range all {
		w.over(f)
	}
}

// hindered reports whether a fault keeps connectors from being connected: one of what all
// workers need, or of each worker one.
func (w *world) hindered() bool {
	hit := map[*worker]bool{}
	w.mu.Lock()
	for _, f := range w.faults {
		if !f.over && f.hinders {
			w.mu.Unlock()
			return true
		}
		hit[f.hits] = hit[f.hits] || !f.over
	}
	w.mu.Unlock()
	for _, k := range w.living() {
		if service, _ := k.parts(); service != nil && !hit[k] {
			return !w.stable()
		}
	}
	return true
}

// hitLocked reports whether there is a fault.
func (w *world) hitLocked() bool {
	return slices.ContainsFunc(w.faults, func(f *fault) bool { return !f.over })
}

// newFault draws a fault, which hits the worker that it is given.
func (w *world) newFault(r *rand.Rand) func(*worker) *fault {
	gone := pick(w.more, 0, 0, 30*time.Second)
	kind, lasts, how := r.IntN(14), time.Second+duration(r, 60*time.Second), pick(r, frozen, away)
	times, code := 1+r.IntN(5), r.IntN(100)
	closing := func(what string, hinders bool, gates ...*gate) *fault {
		set := func(state gateState) func() {
			return func() {
				for _, g := range gates {
					g.set(state)
				}
			}
		}
		what += map[gateState]string{frozen: " is frozen", away: " is cut"}[how]
		return &fault{what: what, lasts: lasts, hinders: hinders, begin: set(how), end: set(open)}
	}
	return func(k *worker) *fault {
		switch kind {
		case 0, 1:
			how = frozen
			return closing(k.name, false, k.gates()...)
		case 2:
			return closing("the way from "+k.name+" to Kafka", false, k.kafka)
		case 3:
			return closing("the way from "+k.name+" to the broker", true, k.broker)
		case 4:
			return closing("the way from "+k.name+" to the other workers", false, k.peers)
		case 5:
			return closing("Kafka", true, w.kafka)
		case 6:
			return closing("the broker", true, w.broker.gate)
		case 7:
			return w.answering(lasts, true, kfake.Fault{
				Keys:  []kmsg.Key{kmsg.Heartbeat, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.FindCoordinator, kmsg.DescribeGroups},
				Group: group, Err: coordinatorFaults[code%len(coordinatorFaults)], Count: -1,
			})
		case 8:
			return w.answering(time.Second, false, kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.UnknownMemberID, Count: times})
		case 9:
			return w.answering(lasts, true, kfake.Fault{
				Keys: []kmsg.Key{kmsg.Produce}, Topic: prefix + "-definitions", Err: produceFaults[code%len(produceFaults)], Count: -1,
			})
		case 10:
			return w.answering(lasts, false, kfake.Fault{
				Keys: []kmsg.Key{kmsg.Produce}, Topic: prefix + "-definitions", Err: produceFaults[code%len(produceFaults)], Count: times,
			})
		case 11:
			return w.answering(lasts, false, kfake.Fault{
				Keys: []kmsg.Key{kmsg.EndTxn, kmsg.InitProducerID, kmsg.AddPartitionsToTxn}, TxnID: prefix + "-writer",
				Err: transactionFaults[code%len(transactionFaults)], Count: times,
			})
		case 12:
			return w.hangUp(times, code%2 == 0, gone)
		}
		return w.unanswered(lasts)
	}
}

var (
	coordinatorFaults = []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress}
	produceFaults     = []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend}
	transactionFaults = []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.ConcurrentTransactions, kerr.InvalidProducerEpoch}
)

// answering makes Kafka answer with an error.
func (w *world) answering(lasts time.Duration, hinders bool, f kfake.Fault) *fault {
	var handle *kfake.FaultHandle
	return &fault{
		what: fmt.Sprintf("Kafka answers %v %d times with %s", f.Keys, f.Count, f.Err.Message), lasts: lasts, hinders: hinders,
		begin: func() { handle = w.cluster.Fault(f) }, end: func() { handle.Remove() },
	}
}

var errHangUp = errors.New("hanging up")

// hangUp makes Kafka hang up on requests to end a transaction: before it does so, or
// after that. Then it may be gone for a while.
func (w *world) hangUp(times int, after bool, gone time.Duration) *fault {
	f := &fault{
		what:  fmt.Sprintf("Kafka hangs up on %d transactions, after it has ended them: %t, and is gone then for %s", times, after, gone),
		lasts: 30*time.Second + gone, hinders: gone > 0,
	}
	f.begin = func() {
		w.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.mu.Lock()
			over := f.over
			w.mu.Unlock()
			if times--; times < 0 || over {
				w.cluster.DropControl()
				return nil, nil, false
			}
			w.cluster.KeepControl()
			if !after {
				return nil, errHangUp, true
			}
			w.kafka.set(frozen) // the answer does not arrive
			time.AfterFunc(time.Second, func() {
				w.kafka.set(away)
				time.AfterFunc(gone, func() { w.kafka.set(open) })
			})
			return nil, nil, false
		})
	}
	f.end = func() { w.kafka.set(open) }
	return f
}

// slowDown makes Kafka slow for records that are not of the store.
func (w *world) slowDown() {
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if req.(*kmsg.ProduceRequest).TransactionID == nil {
			w.cluster.SleepControl(func() { time.Sleep(w.plan.slow) })
		}
		return nil, nil, false
	})
}

// unanswered makes Kafka not answer heartbeats: it hangs up on them.
func (w *world) unanswered(lasts time.Duration) *fault {
	f := &fault{what: "Kafka hangs up on heartbeats", lasts: lasts, hinders: true}
	f.begin = func() {
		w.cluster.ControlKey(int16(kmsg.Heartbeat), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.mu.Lock()
			over := f.over
			w.mu.Unlock()
			if over {
				w.cluster.DropControl()
				return nil, nil, false
			}
			w.cluster.KeepControl()
			return nil, errHangUp, true
		})
	}
	f.end = func() {}
	return f
}
