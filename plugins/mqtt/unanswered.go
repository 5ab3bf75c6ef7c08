package mqtt

import (
	"errors"
	"time"
)

var errUnanswered = errors.New("the broker does not answer the subscription")

// unanswered checks whether the answer to a subscription is overdue.
type unanswered struct {
	*time.Ticker
	s        *session
	idle     bool
	released uint64
}

func newUnanswered(s *session) *unanswered {
	return &unanswered{Ticker: time.NewTicker(max(s.conf.connectTimeout/2, time.Millisecond)), s: s}
}

// check returns an error if the answer is overdue.
func (u *unanswered) check() error {
	if u.isOverdue() {
		return errUnanswered
	}
	return nil
}

// isOverdue reports whether the answer is overdue by connect_timeout while nothing is left
// to acknowledge: some brokers grant no filter before their messages are acknowledged,
// which may take as long as Kafka is unavailable.
func (u *unanswered) isOverdue() bool {
	select {
	case <-u.s.subscribed:
		u.Stop()
		return false
	default:
	}
	waiting, released := u.s.inflight.progress()
	was := u.idle && released == u.released
	u.idle, u.released = waiting == 0 && !u.s.suspended.Load(), released
	return was && u.idle
}
