package mqtt

import (
	"hash/maphash"
	"sync"
)

// delivery is a message of QoS 2 between its PUBLISH and its PUBREL.
type delivery struct {
	id     uint16
	digest uint64
	// on and ticket say where its PUBREC is waited for: the connection by
	// which it came last.
	on     *inflight
	ticket uint64
	acked  bool // by the pipeline
}

// qos2 remembers the messages of QoS 2 that were delivered to the pipeline and
// not yet released by the broker, so that none is delivered twice. It outlives
// the connection, as the broker's half does.
//
// Over a reconnect, the packet identifier alone does not tell a repetition:
// some brokers number anew. There a message is one only if topic and payload
// are the same too, so that a broker's fault costs a repetition, not a message.
type qos2 struct {
	seed maphash.Seed

	mu   sync.Mutex
	open map[uint16]*delivery
}

func newQoS2() *qos2 {
	return &qos2{seed: maphash.MakeSeed(), open: make(map[uint16]*delivery)}
}

func (q *qos2) digest(m *message) uint64 {
	sum := maphash.String(q.seed, m.topic.name) ^ maphash.Bytes(q.seed, m.payload)*31
	if m.notKept != nil {
		sum ^= maphash.Comparable(q.seed, m.notKept.size)
	}
	return sum
}

// What arrive finds.
const (
	fresh   = iota // not delivered before
	pending        // delivered by this connection, the pipeline has it
	again          // delivered before; its PUBREC is waited for anew
)

// arrive takes a message that came on a connection and says whether it has been
// delivered before.
func (q *qos2) arrive(on *inflight, m *message) (d *delivery, found int) {
	id, digest := m.id, q.digest(m)
	q.mu.Lock()
	defer q.mu.Unlock()
	d, ok := q.open[id]
	switch {
	case ok && d.on == on && !d.acked:
		return d, pending
	case ok && (d.on == on || d.digest == digest):
		// Until expect knows the ticket, an acknowledgement finds none here.
		d.on, d.ticket = on, 0
		return d, again
	}
	d = &delivery{id: id, digest: digest, on: on}
	q.open[id] = d
	return d, fresh
}

// expect says under which ticket the message's PUBREC is waited for, and returns
// whether the pipeline is done with it already.
func (q *qos2) expect(d *delivery, ticket uint64) (acked bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.ticket = ticket
	return d.acked
}

// ack notes that the pipeline is done with messages. It returns the tickets of
// those that the connection waits for: they may have come again by it while the
// pipeline had them.
func (q *qos2) ack(deliveries []*delivery, current *inflight) (waiting []span) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range deliveries {
		d.acked = true
		if d.on == current && d.ticket > 0 {
			waiting = append(waiting, span{d.ticket, 1})
		}
	}
	return waiting
}

// reject notes that the pipeline does not take messages: the next time they
// come, they are delivered. It says whether the connection waits for any.
func (q *qos2) reject(deliveries []*delivery, current *inflight) (waiting bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range deliveries {
		if d.acked {
			continue
		}
		waiting = waiting || d.on == current
		if q.open[d.id] == d {
			delete(q.open, d.id)
		}
	}
	return waiting
}

// release ends a message on the broker's PUBREL.
func (q *qos2) release(id uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, id)
}

// forget takes back messages that arrived and never reached the pipeline.
func (q *qos2) forget(messages []message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range messages {
		if d := messages[i].delivery; d != nil && q.open[d.id] == d {
			delete(q.open, d.id)
		}
	}
}

// clear forgets all of them: the broker has begun a new session.
func (q *qos2) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.open)
}
