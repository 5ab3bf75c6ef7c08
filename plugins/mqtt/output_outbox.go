package mqtt

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// outbox holds the messages of an output that the broker has not acknowledged, in order.
// It outlives the connections: what is sent, what the broker answers and what a lost
// connection leaves open is decided here. It knows neither sockets nor the engine.
type outbox struct {
	mu        sync.Mutex
	on        any // the connection that sends, nil without one
	terms     terms
	transfers []*transfer // with messages that are not finished, in order
	queue     []*outgoing // to be sent, from head
	head      int
	releases  []uint16             // identifiers for which PUBREL is due
	open      map[uint16]*outgoing // by identifiers that the broker may know
	inFlight  int                  // messages of QoS 1 and 2 that this connection has sent
	written   []*outgoing          // of QoS 0, not yet accepted by the socket
	last      uint16               // identifier
	aliases   map[string]uint16
	answers   int // acknowledgements of messages in flight so far
	isolation isolation
}

func newOutbox() *outbox { return &outbox{open: make(map[uint16]*outgoing)} }

// fillUpTo is how many bytes the outbox puts into the writer's buffer at once. A larger
// message fills it alone.
const fillUpTo = 64 << 10

// submit adds a transfer behind all others.
func (o *outbox) submit(d *transfer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.left == 0 {
		return
	}
	o.transfers = append(o.transfers, d)
	o.enqueueLocked(d)
}

// retry sends the refused messages of a transfer that has ended again, behind all
// others, unless the broker cannot take them. It returns how many.
func (o *outbox) retry(d *transfer) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range d.messages {
		if m := &d.messages[i]; m.err != nil && retriable(m.err) {
			m.err, m.state = nil, stageWaiting
			n++
			if m.expelled {
				o.isolation.suspect(m)
			}
		}
	}
	if n > 0 {
		d.refused -= n
		d.left = n
		d.done = make(chan struct{})
		o.transfers = append(o.transfers, d)
		o.enqueueLocked(d)
	}
	return n
}

// countAsDone counts a refused message as done.
func (o *outbox) countAsDone(d *transfer, i int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.messages[i].err = nil
	d.refused--
}

func (o *outbox) enqueueLocked(d *transfer) {
	if o.head > 0 && o.head >= len(o.queue)/2 { // amortized, so that the queue does not grow without end
		o.queue = slices.Delete(o.queue, 0, o.head)
		o.head = 0
	}
	for i := range d.messages {
		if m := &d.messages[i]; m.state != stageFinished {
			o.queue = append(o.queue, m)
		}
	}
}

// result returns a channel that is closed when no message of the transfer is left.
func (o *outbox) result(d *transfer) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return d.done
}

// refusals returns the errors of the messages of a transfer that has ended, by index, or
// nil without any.
func (o *outbox) refusals(d *transfer) map[int]error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.refused == 0 {
		return nil
	}
	all := make(map[int]error, d.refused)
	for i := range d.messages {
		if err := d.messages[i].err; err != nil {
			all[i] = err
		}
	}
	return all
}

// abandon gives up a transfer. What the broker may know of it is completed, so that its
// identifiers can be used again, and what was not sent is not.
func (o *outbox) abandon(d *transfer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.removeLocked(d)
	for i := range d.messages {
		m := &d.messages[i]
		m.transfer = nil
		o.isolation.acquit(m)
		switch {
		case m.state == stageSent || m.state == stageReceived || m.state == stageFinished:
		case m.qos == 2 && m.id != 0:
			m.state = stageReceived // the queue has it, and sends PUBREL
		default:
			o.finishLocked(m, nil)
		}
	}
}

func (o *outbox) removeLocked(d *transfer) {
	o.transfers = slices.DeleteFunc(o.transfers, func(other *transfer) bool { return other == d })
}

// attach makes a connection the one that sends. With resumed, the broker has kept the
// session of the connection before: what is open is sent again under its identifier, or
// released. Otherwise all that is not finished is sent as new. unsure means that the
// broker may have lost the session and started another one.
func (o *outbox) attach(on any, t terms, resumed, unsure bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.on, o.terms = on, t
	o.isolation.begin()
	o.queue, o.head = nil, 0
	o.releases, o.written, o.inFlight = nil, nil, 0
	o.aliases = nil
	if t.aliases > 0 {
		o.aliases = make(map[string]uint16)
	}
	for id, m := range o.open {
		m.counted = false
		switch {
		case !resumed:
			delete(o.open, id)
			m.id, m.doubt = 0, false
		case m.transfer == nil && m.qos == 1:
			o.finishLocked(m, nil)
		case m.transfer == nil:
			m.state = stageReceived
			o.queue = append(o.queue, m)
		case unsure && m.state == stageReceived:
			m.doubt = true
		}
	}
	for _, d := range o.transfers {
		for i := range d.messages {
			m := &d.messages[i]
			if m.state == stageSent || m.state == stageReceived && m.id == 0 {
				m.state = stageWaiting
			}
			m.again = m.id != 0 // before, it was sent
		}
		o.enqueueLocked(d)
	}
}

// detach ends the sending of a connection, and records why it has ended. Nothing happens
// if it is not the current one.
func (o *outbox) detach(on any, reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.on == on {
		o.on = nil
		o.judgeLocked(reason)
	}
}

// fill appends the packets that the connection may send. base is the place of buf in the
// stream of the connection.
func (o *outbox) fill(on any, buf []byte, base uint64) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.on != on {
		return buf
	}
	for _, id := range o.releases {
		buf = appendAck(buf, typePubrel, id)
	}
	o.releases = o.releases[:0]
	buf, waits := o.isolation.ask(buf)
	if waits {
		return buf
	}
	for ; o.head < len(o.queue) && len(buf) < fillUpTo; o.head++ {
		m := o.queue[o.head]
		if o.isolation.active() && o.inFlight > 0 {
			break
		}
		if m.qos > 0 && m.state != stageFinished && !o.roomLocked(m) {
			break
		}
		o.queue[o.head] = nil
		switch m.state {
		case stageReceived: // of an earlier connection
			buf = appendAck(buf, typePubrel, m.id)
			o.countLocked(m)
		case stageWaiting:
			buf = o.publishLocked(buf, m, base)
		}
	}
	return buf
}

// roomLocked reports whether a message may be sent, and gives it an identifier.
func (o *outbox) roomLocked(m *outgoing) bool {
	if o.inFlight >= o.terms.window {
		return false
	}
	if m.id != 0 {
		return true
	}
	if len(o.open) >= math.MaxUint16 {
		return false
	}
	for taken := true; taken || o.last == 0; _, taken = o.open[o.last] {
		o.last++
	}
	m.id = o.last
	o.open[m.id] = m
	return true
}

func (o *outbox) countLocked(m *outgoing) {
	m.counted = true
	o.inFlight++
}

// publishLocked appends the PUBLISH of a message, or refuses the message if the broker
// would not take it.
func (o *outbox) publishLocked(buf []byte, m *outgoing, base uint64) []byte {
	alias, nameless := o.aliasLocked(m.topic)
	l := layoutOf(m, o.terms.v5, alias, nameless)
	if err := o.terms.check(m, &l); err != nil {
		id, known := m.id, m.again && m.qos == 2
		o.finishLocked(m, err)
		if known {
			buf = appendAck(buf, typePubrel, id)
			o.countLocked(o.releaseLocked(id))
		}
		return buf
	}
	if alias > 0 {
		o.aliases[m.topic] = alias
	}
	buf = l.appendPublish(buf, m)
	m.state = stageSent
	if m.qos > 0 {
		o.countLocked(m)
	} else {
		m.end = base + uint64(len(buf))
		o.written = append(o.written, m)
	}
	return buf
}

// aliasLocked returns the alias of a topic, 0 for none, and whether the broker knows it.
// The first topics of a connection have one.
func (o *outbox) aliasLocked(topic string) (alias uint16, known bool) {
	if o.aliases == nil {
		return 0, false
	}
	if alias, known = o.aliases[topic]; known {
		return alias, true
	}
	if len(o.aliases) < o.terms.aliases {
		return uint16(len(o.aliases) + 1), false
	}
	return 0, false
}

// finishLocked records the result of a message and frees its identifier.
func (o *outbox) finishLocked(m *outgoing, err error) {
	if m.counted {
		m.counted = false
		o.inFlight--
	}
	if m.id != 0 {
		delete(o.open, m.id)
		m.id = 0
	}
	m.state, m.err, m.again, m.doubt = stageFinished, err, false, false
	o.isolation.acquit(m)
	d := m.transfer
	if d == nil {
		return
	}
	if d.finish(err); d.left == 0 {
		o.removeLocked(d)
	}
}

// releaseLocked keeps an identifier in use until PUBCOMP. Its message of QoS 2 is refused,
// but the broker may have it, and would take another one with the identifier for it.
func (o *outbox) releaseLocked(id uint16) *outgoing {
	m := &outgoing{qos: 2, id: id, state: stageReceived}
	o.open[id] = m
	return m
}

// accepted records that the socket of a connection has accepted the stream up to a
// place. That is all that happens to messages of QoS 0.
func (o *outbox) accepted(on any, place uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.on != on {
		return
	}
	n := 0
	for ; n < len(o.written) && o.written[n].end <= place; n++ {
		o.finishLocked(o.written[n], nil)
		o.written[n] = nil
	}
	if o.written = o.written[n:]; len(o.written) == 0 {
		o.written = nil
	}
}

// answer handles a PUBACK, PUBREC or PUBCOMP of the current connection. An error is a
// violation of the standard, which ends the connection. An answer about an identifier
// that is not in use is ignored: some brokers answer twice.
func (o *outbox) answer(on any, packetType byte, a publishAck) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.on != on {
		return nil
	}
	m := o.open[a.id]
	if m == nil {
		if packetType == typePubrec && a.code < 0x80 {
			o.releases = append(o.releases, a.id)
		}
		return nil
	}
	o.answers++
	switch {
	case (packetType == typePuback) != (m.qos == 1):
		return &packetError{reasonProtocol, fmt.Sprintf("the broker answered a PUBLISH of QoS %d with a packet of type %d", m.qos, packetType)}
	case packetType == typePuback:
		o.finishLocked(m, a.err())
	case packetType == typePubrec:
		o.receivedLocked(m, a)
	case m.state != stageReceived:
		return &packetError{reasonProtocol, fmt.Sprintf("the broker sent PUBCOMP for the packet identifier %d, which was not released", a.id)}
	case m.doubt && (a.code != 0 || !o.terms.v5):
		// The broker may have released nothing, because it lost the message with its
		// session. It is better to repeat a message than to lose it.
		o.repeatLocked(m)
	default:
		o.finishLocked(m, nil)
	}
	return nil
}

func (o *outbox) receivedLocked(m *outgoing, a publishAck) {
	if err := a.err(); err != nil {
		o.finishLocked(m, err)
		return
	}
	m.state = stageReceived
	if m.counted { // else the queue has it
		o.releases = append(o.releases, m.id)
	}
}

// repeatLocked sends a message as a new one.
func (o *outbox) repeatLocked(m *outgoing) {
	delete(o.open, m.id)
	if m.counted {
		m.counted = false
		o.inFlight--
	}
	m.id, m.state, m.again, m.doubt = 0, stageWaiting, false, false
	o.queue = append(o.queue, m)
}
