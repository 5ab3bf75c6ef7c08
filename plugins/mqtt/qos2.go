package mqtt

import (
	"hash/maphash"
	"sync"
)

// delivery is a message of QoS 2 between its PUBLISH and its PUBREL.
type delivery struct {
	id     uint16
	digest uint64
	// on and ticket identify the PUBREC that the broker expects: on is the connection
	// that delivered the message last, which the input may not have adopted yet.
	on     *session
	ticket uint64
	acked  bool // by the pipeline
}

// qos2 remembers the messages of QoS 2 that were delivered to the pipeline and that the
// broker has not released yet, so that none is delivered twice. It outlives the
// connection, as the broker's half does.
//
// After a reconnect, the packet identifier alone does not identify a repeated message,
// because some brokers renumber. A message counts as repeated only if its topic and
// payload are the same too, so that a broker's fault costs a duplicate and not a
// message.
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

// Results of arrive.
const (
	fresh       = iota // not delivered before
	pending            // delivered by this connection, the pipeline has it
	redelivered        // delivered before; the broker expects its PUBREC again
)

// arrive registers a message that came on a connection and reports whether it was
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
		// Until expect sets the ticket, an acknowledgement finds none here.
		d.on, d.ticket = on, 0
		return d, redelivered
	}
	d = &delivery{id: id, digest: digest, on: on}
	q.open[id] = d
	return d, fresh
}

// expect sets the ticket under which the message's PUBREC is expected, and reports
// whether the pipeline has finished the message already.
func (q *qos2) expect(d *delivery, ticket uint64) (acked bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.ticket = ticket
	return d.acked
}

// awaited are messages whose PUBRECs a connection has to send.
type awaited struct {
	on      *session
	tickets []span
}

// ack records that the pipeline has finished messages. It returns those whose PUBREC a
// connection still has to send: they may have arrived again on another connection than
// the one that delivered them to the pipeline.
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

// reject records that the pipeline rejected messages: they are delivered the next time
// they arrive. It returns the connections that have to send any of their PUBRECs.
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

// release removes a message when the broker sends PUBREL.
func (q *qos2) release(id uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, id)
}

// forget removes messages that arrived and never reached the pipeline.
func (q *qos2) forget(messages []message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range messages {
		if d := messages[i].delivery; d != nil && q.open[d.id] == d {
			delete(q.open, d.id)
		}
	}
}

// clear removes all messages: the broker has started a new session.
func (q *qos2) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.open)
}
