package mqtt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// reader is the state of the reading goroutine between packets. Messages that arrived
// in one read of the socket are handed over together.
type reader struct {
	topics   *topics
	arena    arena
	entries  []entry
	pending  []message // ticket holds the place in entries, from 1
	flowing  bool      // a message has arrived
	repeated []repeated
}

// repeated is a message of QoS 2 that was delivered before. Its PUBREC is sent in the
// order of this arrival.
type repeated struct {
	delivery *delivery
	place    uint64 // in entries, from 1
}

// messageOverhead estimates the memory of a message in addition to its contents, with
// its metadata.
const messageOverhead = 256

// readLoop is the only goroutine that reads once the connection is up.
func (s *session) readLoop() {
	defer s.conf.guard.Catch("the input mqtt, reading", s.fail)
	for {
		if !s.in.buffered() {
			s.deliver()
		}
		if err := s.packet(); err != nil {
			s.deliver()
			if disconnectCode(err) != 0 {
				s.settle()
			}
			s.endForViolation(err)
			return
		}
	}
}

// packet handles the next packet.
func (s *session) packet() error {
	first, length, err := s.in.header()
	if err != nil {
		return connectionError("reading", err)
	}
	cut, err := s.tooLarge(first, length)
	if err != nil {
		return err
	}
	var body []byte
	shared := true
	if cut {
		body, err = s.in.start()
	} else {
		body, shared, err = s.in.body(length)
	}
	if err != nil {
		return connectionError("reading", err)
	}
	if first>>4 == typePublish {
		err = s.publish(first&0xf, body, length, shared)
	} else {
		err = s.control(first, body)
	}
	if err != nil || !shared {
		return err
	}
	if err := s.in.skip(length); err != nil {
		return connectionError("reading", err)
	}
	return nil
}

// control handles any packet except PUBLISH.
func (s *session) control(first byte, body []byte) error {
	switch packetType := first >> 4; packetType {
	case typePubrel:
		if first&0xf != 2 {
			return &packetError{reasonMalformed, fmt.Sprintf("malformed PUBREL: its first byte is 0x%02X, not 0x62", first)}
		}
		if len(body) < 2 {
			return &packetError{reasonMalformed, fmt.Sprintf("malformed PUBREL of %d bytes", len(body))}
		}
		id := binary.BigEndian.Uint16(body)
		s.broker.qos2.release(id)
		s.writer.add(func(buf []byte) []byte { return appendAck(buf, typePubcomp, id) })
	case typeSuback:
		return s.granted(body)
	case typeDisconnect:
		return s.disconnectedBy(body)
	case typePingresp, typePuback, typePubrec, typePubcomp:
		// Any received packet counts as the answer to a ping. This client publishes
		// nothing.
	default:
		return &packetError{reasonProtocol, fmt.Sprintf("the broker sent a packet of type %d, which is not allowed now", packetType)}
	}
	return nil
}

// publish handles a PUBLISH of that length. If the payload is too large, body may be
// only its beginning.
func (s *session) publish(flags byte, body []byte, length int, shared bool) error {
	raw, err := decodePublish(flags, body, s.v5)
	if err != nil {
		return err
	}
	name, err := s.reader.topics.topicOf(&raw)
	if err != nil || s.closing.Load() {
		return err
	}
	r := &s.reader
	m := message{
		topic: name, payload: raw.payload, properties: raw.properties, received: s.in.readAt,
		id: raw.id, qos: raw.qos, dup: raw.dup, retain: raw.retain,
	}
	if size := len(raw.payload) + length - len(body); s.conf.exceeds(size) {
		if kept, err := s.oversized(&m, size); !kept {
			return err
		}
	}
	m.size = len(m.payload) + len(name.name) + raw.properties.size() + messageOverhead
	if m.qos == 1 && m.dup && s.inflight.holds(m.id, name.name) {
		// Some brokers (NATS, Moquette) repeat unacknowledged messages on the same
		// connection after some seconds. One acknowledgement answers both.
		return nil
	}
	if m.qos == 2 {
		d, found := s.broker.qos2.arrive(s, &m)
		switch found {
		case pending:
			return nil
		case redelivered:
			r.repeated = append(r.repeated, repeated{d, r.entry(&m)})
			return nil
		}
		m.delivery = d
	}
	if shared {
		m.payload = r.arena.copy(m.payload, m.received)
	}
	if m.qos > 0 {
		m.ticket = r.entry(&m)
	}
	r.pending = append(r.pending, m)
	return nil
}

func (r *reader) entry(m *message) uint64 {
	r.entries = append(r.entries, entry{topic: m.topic.name, received: m.received, id: m.id, qos: m.qos})
	return uint64(len(r.entries))
}

// deliver hands over what has been read, and waits while there is too much.
func (s *session) deliver() {
	r := &s.reader
	if len(r.entries) > 0 {
		before := s.inflight.add(r.entries...) - 1
		for i := range r.pending {
			if m := &r.pending[i]; m.ticket > 0 {
				m.ticket += before
				if m.delivery != nil {
					s.broker.qos2.expect(m.delivery, m.ticket)
				}
			}
		}
		for _, a := range r.repeated {
			if s.broker.qos2.expect(a.delivery, a.place+before) {
				s.ack([]span{{a.place + before, 1}})
			}
		}
		r.entries, r.repeated = r.entries[:0], r.repeated[:0]
		if s.conf.arrived != nil {
			s.conf.arrived()
		}
	}
	if len(r.pending) == 0 {
		return
	}
	room := s.mailbox.put(r.pending)
	clear(r.pending)
	r.pending = r.pending[:0]
	if !r.flowing {
		r.flowing = true
		close(s.flowing)
	}
	if !room || !s.conf.share.Room() {
		s.suspend(!room)
	}
}

// settle waits until the broker has the acknowledgements of all that has arrived before a
// packet that ends the connection. The broker may send that packet on every connection:
// what comes before it would arrive again and again, and never get through.
func (s *session) settle() {
	s.suspended.Store(true)
	defer s.suspended.Store(false)
	look := time.NewTicker(settleCheck)
	defer look.Stop()
	for began := time.Now(); time.Since(began) < settleTimeout; {
		if waiting, _ := s.inflight.progress(); waiting == 0 {
			return
		}
		select {
		case <-look.C:
		case <-s.over:
			return
		}
	}
}

// suspend stops reading until the pipeline has taken enough, if full reports that there
// is too much, and until all inputs together hold little enough. Because nothing is
// read, it has to check whether the connection has ended.
func (s *session) suspend(full bool) {
	s.suspended.Store(true)
	look := time.NewTicker(hangUpCheck)
	defer look.Stop()
	for over := false; !over && (full || !s.closing.Load() && !s.conf.share.Room()); {
		select {
		case <-s.mailbox.room:
			full = false
		case <-s.conf.share.Changed():
		case <-s.dead:
			over = true
		case <-look.C:
			if hungUp(s.conn) {
				s.fail(errors.New("the broker closed the connection"))
			}
		}
	}
	s.suspended.Store(false)
}

const (
	// hangUpCheck is how often a suspended connection is checked.
	hangUpCheck = time.Second
	// settleCheck is how often it is checked whether all is acknowledged.
	settleCheck = 10 * time.Millisecond
	// settleTimeout limits the wait for a pipeline that does not answer.
	settleTimeout = 30 * time.Second
)
