package mqtt

import (
	"sync"
	"time"
)

// replay are messages of one batch that the pipeline has rejected, and that it
// is to get again.
type replay struct {
	session  *session // by which they came; nil for those that are ours alone
	messages []message
	attempts int
}

// wait is the pause before the next attempt. Only what keeps failing waits.
func (r replay) wait() time.Duration {
	if r.attempts < 3 {
		return 0
	}
	return min(time.Millisecond<<min(r.attempts-3, 10), time.Second)
}

// replays holds what was rejected, in the order of the rejections. It is handed
// over again before anything newer.
type replays struct {
	// added has one slot: there is something to hand over.
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

func (r *replays) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list[0] = replay{}
	r.list = r.list[1:]
}

// over is what is left to do about rejected messages when another connection
// has taken the place of theirs. Where the broker has kept the session, it sends
// those of QoS 1 again; those of QoS 2 as well, but they are known by then.
//
// Messages of another session stay with theirs. Its broker may be turned to again,
// and asks then for the acknowledgement of those of QoS 2.
func (r replay) over(current *session) replay {
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
