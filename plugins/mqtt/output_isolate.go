package mqtt

import (
	"errors"
	"fmt"
	"syscall"
)

// isolation finds the message at which a broker ends the connection: brokers of MQTT
// 3.1.1 have no other answer to a message that they do not take, and those of MQTT 5
// answer so to a packet that is too large or malformed. Without it the same messages
// would be sent again on each connection without end.
//
// When connections have ended often enough with the same oldest message unanswered,
// those that were unanswered are suspects, which are sent one at a time. One that was
// alone in flight at the end of enough connections is the cause. Before a suspect is
// sent, the connection has to pass a ping, so that a broker that ends each connection
// soon blames nobody; an attempt to connect that fails shows that the broker itself was
// away, and excuses the suspects.
//
// It belongs to the outbox, which guards it.
type isolation struct {
	oldest   *outgoing // unanswered when the last connection ended
	weight   int       // of the ends of connections with it
	suspects map[*outgoing]bool

	asked, alive bool // this connection was to answer a ping, and has
}

// enoughEnds is the weight of ends that makes suspects, and then a cause.
const enoughEnds = 3

// errHungUp means that the broker has closed the connection without a reason.
var errHungUp = errors.New("the broker closed the connection")

// endWeight returns how much the end of a connection says about the messages in flight:
// nothing, something, or enough.
func endWeight(reason error) int {
	if why, ok := errors.AsType[*reasonError](reason); ok {
		switch why.code {
		case reasonTopicInvalid, 0x95, 0x99, 0x9a, 0x9b: // which are about a PUBLISH
			return enoughEnds
		case 0x80, reasonMalformed, reasonProtocol, 0x83, 0x87, reasonQuota:
			return 1
		}
		return 0
	}
	for _, hungUp := range []error{errHungUp, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(reason, hungUp) {
			return 1
		}
	}
	return 0
}

// expelledError means that the broker ends the connection when it gets the message.
type expelledError struct{ reason error }

func (e *expelledError) Error() string {
	return fmt.Sprintf("the broker ended the connection each time that it got this message alone: %v; its log may have the cause", e.reason)
}

func (e *expelledError) Unwrap() error { return e.reason }

func (s *isolation) active() bool { return len(s.suspects) > 0 }

// begin begins a connection.
func (s *isolation) begin() { s.asked, s.alive = false, false }

// suspect makes a message that was the cause before, and is sent again, the cause after
// one more end.
func (s *isolation) suspect(m *outgoing) {
	if s.suspects == nil {
		s.suspects = make(map[*outgoing]bool)
	}
	s.suspects[m] = true
	m.ends = enoughEnds - 1
}

// acquit removes a message from the suspects.
func (s *isolation) acquit(m *outgoing) {
	if s.oldest == m {
		s.oldest, s.weight = nil, 0
	}
	delete(s.suspects, m)
}

// ended judges the end of a connection with messages unanswered, in order. It returns
// the one that is the cause, nil if that is not known.
func (s *isolation) ended(unanswered []*outgoing, reason error) *outgoing {
	weight := endWeight(reason)
	if weight == 0 || len(unanswered) == 0 {
		return nil
	}
	m := unanswered[0]
	if s.active() {
		if len(unanswered) > 1 || !s.suspects[m] {
			return nil
		}
		if m.ends += weight; m.ends < enoughEnds {
			return nil
		}
		for other := range s.suspects {
			if !other.expelled { // in all likelihood there is one cause; another one is found as this one was
				delete(s.suspects, other)
			}
		}
		return m
	}
	if m != s.oldest {
		s.oldest, s.weight = m, 0
	}
	if s.weight += weight; s.weight < enoughEnds {
		return nil
	}
	s.oldest, s.weight = nil, 0
	s.suspects = make(map[*outgoing]bool, len(unanswered))
	for _, m := range unanswered {
		s.suspects[m] = true
		m.ends = 0
	}
	return nil
}

// excuse forgets the ends of connections, because the broker was away. A message that
// was the cause before stays so.
func (s *isolation) excuse() {
	s.oldest, s.weight = nil, 0
	for m := range s.suspects {
		if !m.expelled {
			m.ends = 0
		}
	}
}

// ask appends a ping if a suspect may be sent only after its answer, and reports
// whether it is still to come.
func (s *isolation) ask(buf []byte) ([]byte, bool) {
	if !s.active() || s.alive {
		return buf, false
	}
	if !s.asked {
		s.asked = true
		buf = append(buf, typePingreq<<4, 0)
	}
	return buf, true
}

// pinged records the answer to a ping.
func (o *outbox) pinged(on any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.on == on && o.isolation.asked {
		o.isolation.alive = true
	}
}

// excuse records that the broker does not accept connections.
func (o *outbox) excuse() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.isolation.excuse()
}

// isolating reports whether messages are sent one at a time to find the one at which the
// broker ends connections.
func (o *outbox) isolating() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.isolation.active()
}

// judgeLocked refuses the message that is the cause of a connection's end.
func (o *outbox) judgeLocked(reason error) {
	var unanswered []*outgoing
	for _, d := range o.transfers {
		for i := range d.messages {
			if m := &d.messages[i]; m.qos > 0 && m.state == stageSent {
				unanswered = append(unanswered, m)
			}
		}
	}
	m := o.isolation.ended(unanswered, reason)
	if m == nil {
		return
	}
	id := m.id
	m.expelled = true
	o.finishLocked(m, &expelledError{reason})
	if m.qos == 2 {
		o.releaseLocked(id) // on the next connection
	}
}
