package scripted

import (
	"fmt"
	"slices"
	"time"
)

// Message is a message that a publisher sent to the broker.
type Message struct {
	Topic      string
	Payload    string
	QoS        byte
	Retain     bool   // only the flag: nothing is retained
	Properties []byte // raw, for MQTT 5
}

// LostMessage is a message that the broker lost before it was acknowledged.
type LostMessage struct {
	Message
	// Held is how long the client had it on the last accepted connection before the
	// loss: from when it was written until the end. Zero means that it was not written
	// completely.
	Held time.Duration
}

// entry is a message in a session.
type entry struct {
	Message
	qos      byte   // at which it is delivered
	id       uint16 // 0 while it has none
	sent     bool   // at least once
	received bool   // PUBREC came, and PUBREL is sent
	on       int    // the connection that it was written to last
	written  time.Time
	held     time.Duration // how long that has lasted from then on
}

// session is what the broker keeps for the client.
type session struct {
	filters  []filter
	inflight []*entry // in the order of sending
	queue    []*entry // to be sent, those that were sent before first
	lastID   uint16
}

// qos returns the QoS of a message for the client; ok is false if no filter matches it.
func (s *session) qos(m *Message) (qos byte, ok bool) {
	for _, f := range s.filters {
		if matches(f.name, m.Topic) {
			qos, ok = max(qos, f.qos), true
		}
	}
	return min(qos, m.QoS), ok
}

func (s *session) subscribe(filters []filter) {
	for _, f := range filters {
		s.filters = slices.DeleteFunc(s.filters, func(old filter) bool { return old.name == f.name })
		s.filters = append(s.filters, f)
	}
}

// resume prepares another connection: messages that wait for their first answer are
// sent again before anything else.
func (s *session) resume(b *Behaviour) {
	var again, received []*entry
	for _, e := range s.inflight {
		if e.received {
			received = append(received, e)
		} else {
			again = append(again, e)
		}
	}
	for len(s.queue) > 0 && s.queue[0].sent {
		again = append(again, s.queue[0])
		s.queue = s.queue[1:]
	}
	if b.FreshIdentifiers {
		for _, e := range again {
			e.id = 0
		}
	}
	if b.Shuffle != nil {
		b.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	}
	s.inflight, s.queue = received, append(again, s.queue...)
}

// next removes the next message to send, if one may be sent.
func (s *session) next(window int) *entry {
	if len(s.queue) == 0 || s.queue[0].qos > 0 && len(s.inflight) >= window {
		return nil
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	if e.qos > 0 {
		if e.id == 0 {
			e.id = s.freshID()
		}
		s.inflight = append(s.inflight, e)
	}
	return e
}

func (s *session) freshID() uint16 {
	used := func(e *entry) bool { return e.id == s.lastID }
	for {
		if s.lastID++; s.lastID != 0 && !slices.ContainsFunc(s.inflight, used) && !slices.ContainsFunc(s.queue, used) {
			return s.lastID
		}
	}
}

// acked handles PUBACK, PUBREC or PUBCOMP.
func (s *session) acked(packetType byte, id uint16) (*entry, error) {
	for i, e := range s.inflight {
		if e.id != id {
			// Answers come in the order of the messages [MQTT-4.6.0-2].
			if packetType != typePubcomp && !e.received && (packetType == typePuback) == (e.qos == 1) {
				return nil, fmt.Errorf("packet %d answers the identifier %d, but must answer %d first", packetType, id, e.id)
			}
			continue
		}
		switch {
		case packetType == typePuback && e.qos == 1, packetType == typePubcomp && e.received:
			s.inflight = slices.Delete(s.inflight, i, i+1)
		case packetType == typePubrec && e.qos == 2 && !e.received:
			e.received = true
		default:
			return nil, fmt.Errorf("packet %d answers the identifier %d of QoS %d, received %t", packetType, id, e.qos, e.received)
		}
		return e, nil
	}
	return nil, fmt.Errorf("packet %d answers the identifier %d, which is not in flight", packetType, id)
}

// unanswered returns the messages whose first answer is missing.
func (s *session) unanswered() (all []*entry) {
	for _, e := range s.inflight {
		if !e.received {
			all = append(all, e)
		}
	}
	return append(all, s.queue...)
}
