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
	// which it came last, which the input may not have adopted yet.
	on     *session
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
func (q *qos2) arrive(on *session, m *message) (d *delivery, found int) {
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

// awaited are messages whose PUBRECs a connection waits for.
type awaited struct {
	on      *session
	tickets []span
}

// ack notes that the pipeline is done with messages. It returns those that a
// connection waits for: they may have come again by another one than that by which
// the pipeline has them.
func (q *qos2) ack(deliveries []*delivery) (waiting []awaited) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range deliveries {
		d.acked = true
		if d.ticket == 0 {
			continue
		}
		if n := len(waiting); n == 0 || waiting[n-1].on != d.on {
			waiting = append(waiting, awaited{on: d.on})
		}
		last := &waiting[len(waiting)-1]
		last.tickets = appendTicket(last.tickets, d.ticket)
	}
	return waiting
}

// reject notes that the pipeline does not take messages: the next time they
// come, they are delivered. It returns the connections that wait for any.
func (q *qos2) reject(deliveries []*delivery) (waiting []*session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range deliveries {
		if d.acked {
			continue
		}
		waiting = append(waiting, d.on)
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
