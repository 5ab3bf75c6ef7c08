package mqtt

import "context"

// unread are messages that arrived on a connection and that the pipeline had not
// asked for when it was lost.
type unread struct {
	generation int // of the session
	messages   []message
}

// collect takes what a connection left unread, until the next says whether the
// broker sends it again.
func (i *input) collect(s *session) {
	rest := s.mailbox.rest()
	if len(rest) == 0 {
		return
	}
	s.broker.qos2.forget(rest)
	for k := range rest {
		rest[k].ticket, rest[k].delivery = 0, nil // of the connection that is gone
	}
	i.change(func() { i.unread = append(i.unread, unread{s.generation, rest}) })
}

// dropSentAgainLocked leaves of the unread messages those that the broker will not
// send again on a connection of the session: those of other sessions, and those of
// QoS 0.
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

// takeUnread returns the next batch of unread messages, or none.
func (i *input) takeUnread() []message {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.unread) == 0 {
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

// awaitRoom waits while unread messages take as much memory as those of two
// connections may, and the engine asks for none: each connection that is lost then
// could leave more. It returns false at Close.
func (i *input) awaitRoom(ctx context.Context) bool {
	for {
		i.mu.Lock()
		room := i.asked || i.unreadSizeLocked() < 2*i.conf.maxPendingBytes+readBuffer
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
