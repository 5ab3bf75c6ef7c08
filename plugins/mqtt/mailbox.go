package mqtt

import (
	"slices"
	"sync"
	"time"
)

// message is a PUBLISH that has arrived.
type message struct {
	topic      *topic
	payload    []byte
	properties *properties
	received   time.Time
	ticket     uint64          // in the connection's inflight; 0 at QoS 0
	delivery   *delivery       // at QoS 2
	notKept    *oversizedError // why the payload was not kept; nil if it was
	size       int             // estimated memory
	id         uint16
	qos        byte
	dup        bool
	retain     bool

	owed  *pendingBatch // the batch that it was handed over in, and its place there
	place int
}

// mailbox holds the messages that have arrived on one connection and that the pipeline
// has not requested yet. Adding never blocks: the caller checks afterwards whether
// there is room for more.
type mailbox struct {
	// arrived has one slot: it is signalled when messages were added, or the mailbox
	// was closed.
	arrived chan struct{}
	// room has one slot: it is signalled when the mailbox is below its limit again, or
	// was closed.
	room  chan struct{}
	limit int

	mu     sync.Mutex
	items  []message
	head   int // items before it have been taken
	bytes  int
	over   bool // the limit was reached and room was not signalled yet
	closed bool
}

func newMailbox(limit int) *mailbox {
	return &mailbox{arrived: make(chan struct{}, 1), room: make(chan struct{}, 1), limit: limit}
}

func notify(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// put appends messages and reports whether there is room for more. If not, room is
// signalled once there is.
func (m *mailbox) put(messages []message) bool {
	m.mu.Lock()
	for i := range messages {
		m.bytes += messages[i].size
	}
	m.makeRoomLocked(len(messages))
	m.items = append(m.items, messages...)
	m.over = m.bytes >= m.limit && !m.closed
	over := m.over
	m.mu.Unlock()
	notify(m.arrived)
	return !over
}

// makeRoomLocked moves the waiting messages to the front before the slice would grow.
// Without it, a mailbox that is never empty would keep the memory of all that it ever
// held. It moves at most as many messages as were taken, so the cost is amortized.
func (m *mailbox) makeRoomLocked(n int) {
	if waiting := len(m.items) - m.head; len(m.items)+n > cap(m.items) && m.head >= waiting {
		copy(m.items, m.items[m.head:])
		clear(m.items[waiting:])
		m.items, m.head = m.items[:waiting], 0
	}
}

// take removes messages from the front, as many as the two limits allow, and at least
// one if there is one. open is false when the connection is closed; use
// takeRemaining for the other messages then.
func (m *mailbox) take(messages, bytes int) (taken []message, open bool) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, false
	}
	n, size := fit(m.items[m.head:], messages, bytes)
	end := m.head + n
	m.bytes -= size
	taken = slices.Clone(m.items[m.head:end])
	clear(m.items[m.head:end])
	m.head = end
	if m.head == len(m.items) {
		m.items, m.head = m.items[:0], 0
	}
	more := len(m.items) > 0
	tell := m.over && m.bytes <= m.limit/2
	if tell {
		m.over = false
	}
	m.mu.Unlock()
	if tell {
		notify(m.room)
	}
	if more {
		notify(m.arrived)
	}
	return taken, true
}

// fit returns how many of the first messages fit into a batch, at least one if there is
// one, and their size.
func fit(messages []message, most, bytes int) (n, size int) {
	for n < len(messages) && n < most && (n == 0 || size+messages[n].size <= bytes) {
		size += messages[n].size
		n++
	}
	return n, size
}

// size returns the bytes of the waiting messages.
func (m *mailbox) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// close closes the mailbox: take returns nothing after it.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	notify(m.arrived)
	notify(m.room)
}

// takeRemaining returns the messages that were never taken, once the mailbox is closed.
func (m *mailbox) takeRemaining() []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.items[m.head:]
	m.items, m.head, m.bytes = nil, 0, 0
	return rest
}
