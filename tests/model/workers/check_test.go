package workers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// bound is the limit for the time that a connector is without a connection after a fault
// has begun or ended, while Kafka and the broker are there and one worker reaches both. Its largest
// parts are the session timeout (10 s), a drain (5 s), and the pauses between
// connections that do not last (5 s).
const bound = 60 * time.Second

// forgotten is how much longer it takes where a worker dies in a rebalance. The embedded
// Kafka does not count a member as alive that waits for the others to join. After the
// session timeout it forgets such a member, which the dead worker makes it wait for, and
// never answers it. The member joins again when its request has timed out, 10 s after the
// rebalance timeout. Kafka itself does not forget it.
const forgotten = drainTimeout + 40*time.Second

// patient is the bound in this plan.
func (w *world) patient() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.forgets {
		return bound + forgotten
	}
	return bound
}

// takeoversOfAFault is how often a session may be taken over because of one fault.
const takeoversOfAFault = 2

// look checks one name while the plan runs.
func (w *world) look(s *subject, hindered bool) {
	w.mu.Lock()
	marked, disturbed, hit := w.marked, w.disturbed, w.hitLocked()
	w.mu.Unlock()
	for _, id := range s.clientIDs() {
		if n := w.broker.takenOver(id, marked); n > takeoversOfAFault {
			w.fail(fmt.Errorf("the session %s was taken over %d times since the last fault", id, n))
		}
	}
	// A worker that joins or ends takes nothing over: what moves is drained.
	if !disturbed.IsZero() {
		disturbed = disturbed.Add(w.patient())
	}
	for _, id := range s.clientIDs() {
		if n := w.broker.takenOver(id, disturbed); n > 0 && !hit {
			w.fail(fmt.Errorf("the session %s was taken over %d times without a fault", id, n))
		}
	}
	now, sure := s.certain()
	s.mu.Lock()
	defer s.mu.Unlock()
	if hindered || !sure || s.busy || !now.exists || now.paused || w.allRun(s, now) || len(w.living()) == 0 {
		s.down = time.Time{}
		return
	}
	if s.down.IsZero() {
		s.down = time.Now()
	}
	since := s.down
	for _, at := range []time.Time{marked, s.changed} {
		if at.After(since) {
			since = at
		}
	}
	took := time.Since(since)
	w.mu.Lock()
	w.slowest = max(w.slowest, took)
	w.mu.Unlock()
	if took > w.patient() {
		w.fail(fmt.Errorf("%s has no connection for %s", s.name, took))
	}
}

// finish ends the faults and checks what must be so then.
func (w *world) finish() {
	w.log.Add("calm")
	w.calm()
	if len(w.living()) == 0 {
		w.mark()
		w.newWorker()
	}
	w.ops.Wait()
	if w.err() != nil {
		return
	}
	if !w.must("the workers do not agree", w.disagreement) {
		return
	}
	for _, s := range w.names {
		if now, sure := s.certain(); sure && now.paused {
			w.must("a paused connector cannot be resumed", func() error {
				for _, k := range w.living() {
					if o := w.operate(k, s, resume(s)); o != done {
						return fmt.Errorf("%s by %s is %s", s.name, k.name, o)
					}
				}
				return nil
			})
		}
	}
	if !w.must("the workers do not agree", w.disagreement) || !w.must("a name cannot be changed", w.changeable) ||
		!w.must("the workers do not agree", w.disagreement) {
		return
	}
	settledAt := time.Now()
	w.log.Add("all agree")
	w.silent.Store(true)
	if !w.must("messages are missing", w.missing) || !w.must("an update has not taken effect", w.incomplete) {
		return
	}
	time.Sleep(time.Minute)
	for _, s := range w.names {
		for _, id := range s.clientIDs() {
			if n := w.broker.takenOver(id, settledAt); n > 0 {
				w.fail(fmt.Errorf("the session %s was taken over %d times without a fault", id, n))
			}
		}
	}
	if err := errors.Join(w.disagreement(), w.incomplete(), w.broker.problem()); err != nil {
		w.fail(err)
	}
}

// must requires something within the bound.
func (w *world) must(what string, check func() error) bool {
	var last error
	began := time.Now()
	if w.wait(func() bool { last = check(); return last == nil || w.err() != nil }) {
		w.mu.Lock()
		w.slowest = max(w.slowest, time.Since(began))
		w.mu.Unlock()
		return w.err() == nil
	}
	w.fail(fmt.Errorf("%s %s after the last fault: %w", what, time.Since(began), last))
	return false
}

// wait waits for a condition, for as long as the bound of the plan while the group is stable.
func (w *world) wait(is func() bool) bool {
	const step = 500 * time.Millisecond
	began := time.Now()
	for stable := time.Duration(0); !is(); time.Sleep(step) {
		if w.stable() {
			stable += step
		}
		if stable > w.patient() || time.Since(began) > 10*bound {
			return false
		}
	}
	return true
}

// stable reports whether the group of the workers is balanced. That of the embedded Kafka
// begins the rebalance timeout anew whenever a member joins, which Kafka does not.
func (w *world) stable() bool {
	info := w.cluster.GroupInfo(group)
	return info != nil && info.State == "Stable"
}

// disagreement returns why the workers do not agree, or a connector does not run.
func (w *world) disagreement() error {
	for _, s := range w.names {
		var first state
		for i, k := range w.living() {
			is, ok := w.seen(k, s)
			if !ok {
				return fmt.Errorf("%s cannot read the store", k.name)
			}
			if i == 0 {
				first = is
			}
			if is != first {
				return fmt.Errorf("%s is %s for %s, and another worker shows %s", s.name, is, k.name, first)
			}
		}
		s.mu.Lock()
		right := s.may[first]
		if right {
			s.may = map[state]bool{first: true}
		}
		s.mu.Unlock()
		if !right {
			return fmt.Errorf("%s is %s, and must be %s", s.name, first, s.describe())
		}
		if err := w.placement(s, first); err != nil {
			return err
		}
	}
	return nil
}

// placement returns why not exactly one worker runs a member that should run.
func (w *world) placement(s *subject, is state) error {
	owner, err := w.ownerOf(s, 0)
	if err != nil {
		return err
	}
	for _, k := range w.living() {
		service, _ := k.parts()
		if service == nil {
			return fmt.Errorf("%s has ended", k.name)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		at, err := service.OwnerOf(ctx, s.name)
		cancel()
		if err != nil {
			return fmt.Errorf("%s does not know who owns %s: %w", k.name, s.name, err)
		}
		if at.URL != "http://"+owner.listen && (!at.Here || k != owner) {
			return fmt.Errorf("%s owns %s, and %s says %+v", owner.name, s.name, k.name, at)
		}
	}
	_, sup := owner.parts()
	if sup == nil {
		return fmt.Errorf("%s has ended", owner.name)
	}
	if is.exists && !is.paused {
		status, _, err := sup.Detail(s.name)
		if err != nil {
			return err
		}
		// One that has to deliver first what waits in sessions does so all the time, because
		// it comes all the time.
		if handsOver(status) {
			return w.heldBy(owner, s)
		}
		if status.State != connector.Running {
			return fmt.Errorf("%s is %s on its worker: %s", s.name, status.State, status.Reason)
		}
	}
	for member, id := range s.clientIDs() {
		if err := w.placementOf(s, is, member, w.broker.running(id)); err != nil {
			return err
		}
	}
	return nil
}

// changeable makes a change of each name by each worker.
func (w *world) changeable() error {
	for i, s := range w.names {
		now, _ := s.certain()
		for j, k := range w.living() {
			if !now.exists {
				continue
			}
			op := update(s, 100*i+j, strings.TrimPrefix(now.filter, s.name))
			if o := w.operate(k, s, op); o != done {
				return fmt.Errorf("an update of %s by %s is %s", s.name, k.name, o)
			}
		}
	}
	return nil
}
