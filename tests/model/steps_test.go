package model

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/robustmq/robustmq-connect/tests/scripted"
	"github.com/robustmq/robustmq-connect/tests/seeds"
)

// simulate runs a seed and returns what was wrong, and how long it took until messages
// flowed again. It must be called in a bubble of testing/synctest.
func simulate(seed uint64, log *seeds.Journal) (took time.Duration, err error) {
	w, err := newWorld(seed, log)
	if err != nil {
		return 0, err
	}
	defer w.close()
	for range w.plan.steps {
		if err := w.step(); err != nil {
			return 0, err
		}
	}
	w.log.Add("calm")
	w.calm()
	for i := range w.sites {
		// A client disconnects from a broker only when it must.
		for k, s := range w.sites {
			s.link.setAway(i != k)
		}
		one, err := w.flow(w.sites[i])
		if err != nil {
			_ = w.stop() // the first error is reported
			return one, err
		}
		took = max(took, one)
	}
	w.log.Add("all flows")
	if err := w.stop(); err != nil {
		return took, err
	}
	return took, w.check()
}

// step makes one random step.
func (w *world) step() error {
	r := w.rand
	pause := duration(r, 2*time.Second)
	if chance(r, 5) {
		pause = duration(r, 90*time.Second)
	}
	time.Sleep(pause)
	i := r.IntN(len(w.sites))
	s := w.sites[i]
	switch what := r.IntN(100); {
	case what < 40:
		w.publishSome(i)
	case what < 65:
		w.disturb(i)
	case what < 75:
		// Messages pile up in the input, and then it loses its connection.
		if w.plan.faults {
			if w.plan.rejects && chance(w.more, 60) {
				w.refused = true
				w.answer(1+w.more.IntN(3), kmsg.Produce, pick(w.more, refusals...))
			}
			w.stall(time.Second + duration(r, 10*time.Second))
			w.publishSome(i)
			time.Sleep(10 * time.Millisecond)
		}
		w.publishSome(i)
		time.Sleep(10 * time.Millisecond)
		w.disturb(i)
	case what < 80:
		w.awhile(fmt.Sprintf("broker %d is away", i), 10*time.Second, func() { s.link.setAway(true) }, func() { s.link.setAway(false) })
	case what < 83:
		w.awhile(fmt.Sprintf("broker %d is frozen", i), 20*time.Second, s.link.freeze, s.link.thaw)
	case what < 95:
		if w.plan.faults {
			w.fault()
		}
	case w.plan.restarts:
		return w.restart()
	}
	return nil
}

func (w *world) publishSome(i int) {
	n := 1 + int(duration(w.rand, 60))
	w.log.Add("publish %d at %d", n, i)
	w.publish(w.sites[i], n, w.sites[i].topics...)
}

// disturb makes a broker misbehave on its next connections.
func (w *world) disturb(i int) {
	for range 1 + w.rand.IntN(3) {
		b := w.plan.behaviour(w.rand)
		w.log.Add("broker %d, from now on: %s", i, describe(b))
		w.sites[i].broker.Extend(b)
	}
	if chance(w.rand, 80) {
		w.log.Add("cut")
		w.sites[i].broker.CutNow()
	}
}

// restart ends the process, by a signal or by a crash, and starts it again.
func (w *world) restart() error {
	w.restarts++
	if chance(w.rand, 50) {
		w.log.Add("crash")
		// Nothing that it still sends or writes arrives.
		for _, l := range w.links() {
			l.setAway(true)
		}
	} else {
		w.log.Add("restart")
	}
	if err := w.stop(); err != nil {
		return err
	}
	time.Sleep(duration(w.rand, 5*time.Second))
	for _, l := range w.links() {
		l.setAway(false)
	}
	return w.start()
}

func (w *world) links() []*link {
	all := []*link{w.kafka}
	for _, s := range w.sites {
		all = append(all, s.link)
	}
	return all
}

func (w *world) awhile(what string, most time.Duration, begin, end func()) {
	w.awhileFor(what, time.Millisecond+duration(w.rand, most), begin, end)
}

func (w *world) awhileFor(what string, d time.Duration, begin, end func()) {
	w.log.Add("%s for %s", what, d)
	begin()
	time.AfterFunc(d, func() {
		if !w.isCalm() {
			end()
		}
	})
}

// fault causes a fault of Kafka.
func (w *world) fault() {
	r := w.rand
	times := 1 + int(duration(r, 5))
	switch r.IntN(9) {
	case 0, 1:
		w.answer(times, kmsg.Produce, pick(r, passing...))
	case 2:
		if w.plan.strategy == "" {
			if w.plan.rejects {
				w.refused = true
				w.answer(times, kmsg.Produce, pick(w.more, refusals...))
			}
			return
		}
		w.refused = true
		w.answer(times, kmsg.Produce, pick(r, refusals...))
	case 3:
		w.hangUp(times)
	case 4:
		w.stall(duration(r, 15*time.Second))
	case 5:
		n := 1 + r.IntN(300)
		w.log.Add("Kafka is cut after %d bytes", n)
		w.kafka.cutAfter(n)
	case 6:
		w.awhile("Kafka is away", 30*time.Second, func() { w.kafka.setAway(true) }, func() { w.kafka.setAway(false) })
	case 7:
		w.awhile("Kafka is frozen", 30*time.Second, w.kafka.freeze, w.kafka.thaw)
	case 8:
		w.log.Add("Kafka elects leaders")
		w.cluster.ShufflePartitionLeaders()
	}
}

// stall holds back Kafka's answers for the duration.
func (w *world) stall(d time.Duration) {
	w.awhileFor("Kafka answers nothing", d, w.kafka.writes.shut, w.kafka.writes.unshut)
}

func (w *world) answer(times int, key kmsg.Key, err *kerr.Error) {
	w.log.Add("Kafka answers %d times %s", times, err.Message)
	w.faults = append(w.faults, w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: times}))
}

var errHangUp = errors.New("hanging up")

// hangUp makes Kafka close the connection on that many produce requests.
func (w *world) hangUp(times int) {
	w.log.Add("Kafka hangs up on %d produce requests", times)
	w.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if w.isCalm() {
			w.cluster.DropControl()
			return nil, nil, false
		}
		if times--; times > 0 {
			w.cluster.KeepControl()
		}
		return nil, errHangUp, true
	})
}

func (w *world) isCalm() bool {
	select {
	case <-w.calmed:
		return true
	default:
		return false
	}
}

// calm ends every fault. It may be called twice.
func (w *world) calm() {
	for _, s := range w.sites {
		s.broker.Calm()
	}
	for _, h := range w.faults {
		h.Remove()
	}
	if !w.isCalm() {
		close(w.calmed)
	}
	for _, l := range w.links() {
		l.setAway(false)
		l.thaw()
		l.cutAfter(0)
	}
}

// bound is the limit for the time until messages flow again after the last fault. Its
// largest parts are a silent broker (two keep alive intervals and a connect timeout), a
// refused subscription (10 s), the pauses between connections that do not last (5 s),
// and a request to Kafka (2 s).
const bound = 30 * time.Second

// flow waits until a newly published message is acknowledged, and all others of the
// broker too.
func (w *world) flow(s *site) (took time.Duration, err error) {
	const topic = "m/1/probe"
	began := time.Now()
	probe := ""
	for {
		if took = time.Since(began); took > bound {
			made, welcomed := s.broker.Connections()
			return took, fmt.Errorf("nothing flows %s after the last fault: subscribed %t, %d messages wait, %d connections, %d welcome",
				took, s.broker.Subscribed(topic), s.broker.Waiting(), made, welcomed)
		}
		if probe == "" && s.broker.Subscribed(topic) && s.broker.Subscribed("m/2/probe") {
			probe = w.publish(s, 1, topic)
		}
		if probe != "" && s.broker.Waiting() == 0 {
			if w.isAcked(probe) {
				return took, nil
			}
			probe = "" // it was lost with its session
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// describe omits what is not set.
func describe(b scripted.Behaviour) string {
	if b.Refusal != nil {
		return fmt.Sprintf("refused with %x, held %t", b.Refusal.Answer, b.Refusal.Hold)
	}
	var parts []string
	note := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	note(b.Session != 0, "session %d", b.Session)
	note(b.Suback != 0, "suback %d after %s", b.Suback, b.SubackDelay)
	note(b.Together, "together")
	note(b.BytewiseUpTo > 0, "bytewise %d", b.BytewiseUpTo)
	note(b.FreshIdentifiers, "fresh")
	note(b.Shuffle != nil, "shuffled")
	note(b.AfterSent+b.AfterReceived+int(b.After) != 0, "end %d after %d sent, %d received, %s, %x", b.End, b.AfterSent, b.AfterReceived, b.After, b.Farewell)
	return "[" + strings.Join(parts, "; ") + "]"
}
