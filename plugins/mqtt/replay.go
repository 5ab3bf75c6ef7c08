package mqtt

import (
	"sync"
	"time"
)

// replay is the rejected messages of one batch, which have to be handed over again.
type replay struct {
	session  *session // the connection that delivered them; nil if there is nothing to acknowledge
	messages []message
	attempts int
}

// wait returns the pause before the next attempt. Only messages that keep failing wait.
func (r replay) wait() time.Duration {
	if r.attempts < 3 {
		return 0
	}
	return min(time.Millisecond<<min(r.attempts-3, 10), time.Second)
}

// replays holds rejected messages in the order of rejection. They are handed over
// before anything newer.
type replays struct {
	// added has one slot: it is signalled when there is something to hand over.
	added chan struct{}

	mu   sync.Mutex
	list []replay
}

func newReplays() *replays { return &replays{added: make(chan struct{}, 1)} }

func (r *replays) add(one replay) {
	r.mu.Lock()
	r.list = append(r.list, one)
	r.mu.Unlock()
	notify(r.added)
}

func (r *replays) first() (one replay, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == 0 {
		return replay{}, false
	}
	return r.list[0], true
}

func (r *replays) removeFirst() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list[0] = replay{}
	r.list = r.list[1:]
}

// notRedelivered returns which rejected messages still have to be handed over when another
// connection has replaced theirs. If the broker kept the session, it redelivers those
// of QoS 1 and of QoS 2, but those of QoS 2 are known already.
//
// Messages of another session stay with theirs: the input may return to that broker,
// which then expects the acknowledgement of those of QoS 2.
func (r replay) notRedelivered(current *session) replay {
	if r.session == nil || r.session == current {
		return r
	}
	next := replay{session: r.session, attempts: r.attempts}
	sentAgain := r.session.generation == current.generation
	if sentAgain {
		next.session = current
	}
	for _, m := range r.messages {
		if sentAgain && m.qos == 1 {
			continue
		}
		m.ticket = 0
		next.messages = append(next.messages, m)
	}
	return next
}
