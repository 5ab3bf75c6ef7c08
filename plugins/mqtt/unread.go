package mqtt

import "context"

// unread are messages that arrived on a connection and that the pipeline had not
// requested when it was lost.
type unread struct {
	generation int // of the session
	messages   []message
}

// collect keeps the unread messages of a connection until the next connection shows
// whether the broker redelivers them.
func (i *input) collect(s *session) {
	rest := s.mailbox.takeRemaining()
	if len(rest) == 0 {
		return
	}
	s.broker.qos2.forget(rest)
	for k := range rest {
		rest[k].ticket, rest[k].delivery = 0, nil // they belong to the closed connection
	}
	i.change(func() { i.unread = append(i.unread, unread{s.generation, rest}) })
}

// dropSentAgainLocked drops the unread messages that the broker redelivers on a
// connection of the session. It keeps those of other sessions, and those of QoS 0.
func (i *input) dropSentAgainLocked(generation int) {
	var kept []unread
	for _, u := range i.unread {
		if u.generation == generation {
			left := u.messages[:0]
			for _, m := range u.messages {
				if m.qos == 0 {
					left = append(left, m)
				}
			}
			clear(u.messages[len(left):])
			u.messages = left
		}
		if len(u.messages) > 0 {
			kept = append(kept, u)
		}
	}
	i.unread = kept
}

// takeUnread returns the next batch of unread messages, or none. It returns none when
// the connection has been lost: what the broker redelivers of them is known only with
// the next one.
func (i *input) takeUnread(s *session) []message {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.unread) == 0 || !i.up || i.session != s {
		return nil
	}
	first := &i.unread[0]
	n, _ := fit(first.messages, i.conf.maxBatchMessages, i.conf.maxBatchBytes)
	taken := first.messages[:n:n]
	if first.messages = first.messages[n:]; len(first.messages) == 0 {
		i.unread = i.unread[1:]
	}
	i.wakeLocked()
	return taken
}

// awaitRoom waits while the unread messages take as much memory as two connections may
// use and the engine requests none: each lost connection could otherwise add more. It
// returns false after Close.
func (i *input) awaitRoom(ctx context.Context) bool {
	for {
		i.mu.Lock()
		room := i.asked || i.unreadSizeLocked() < 2*i.conf.maxPendingBytes+largestReadBuffer
		changed := i.changed
		i.mu.Unlock()
		if room {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (i *input) unreadSizeLocked() (size int) {
	for _, u := range i.unread {
		for k := range u.messages {
			size += u.messages[k].size
		}
	}
	return size
}
