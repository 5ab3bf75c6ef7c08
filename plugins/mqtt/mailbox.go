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
	notKept    *oversizedError // why there is no payload; nil where there is
	size       int             // roughly the memory it takes
	id         uint16
	qos        byte
	dup        bool
	retain     bool

	owed  *owed // once it was handed over: the batch, and its place there
	place int
}

// mailbox holds the messages that have arrived on one connection and that the
// pipeline has not asked for. Putting never blocks: who puts asks afterwards
// whether there is room for more.
type mailbox struct {
	// arrived has one slot: something was put, or the mailbox was closed.
	arrived chan struct{}
	// room has one slot: what was over the limit has been taken, or the
	// mailbox was closed.
	room  chan struct{}
	limit int

	mu     sync.Mutex
	items  []message
	head   int // items before it have been taken
	bytes  int
	over   bool // the limit was reached and room has not been told
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

// put appends messages and says whether there is room for more. After false, a
// value in room tells when there is.
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

// makeRoomLocked moves what waits to the front before items would grow. A mailbox
// that is never empty would else keep the room of all that it has ever held. It
// moves at most as many as were taken, which keeps it cheap.
func (m *mailbox) makeRoomLocked(n int) {
	if waiting := len(m.items) - m.head; len(m.items)+n > cap(m.items) && m.head >= waiting {
		copy(m.items, m.items[m.head:])
		clear(m.items[waiting:])
		m.items, m.head = m.items[:waiting], 0
	}
}

// take returns messages from the front, as many as the two limits allow and at
// least one where there is one. open is false when the connection is gone; what
// it left behind is then for rest.
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

// fit returns how many of the first messages fit into a batch, at least one where
// there is one, and what they take.
func fit(messages []message, most, bytes int) (n, size int) {
	for n < len(messages) && n < most && (n == 0 || size+messages[n].size <= bytes) {
		size += messages[n].size
		n++
	}
	return n, size
}

// size is what waits, in bytes.
func (m *mailbox) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// close ends the mailbox: nothing is taken any more.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	notify(m.arrived)
	notify(m.room)
}

// rest returns what was never taken, once the mailbox is closed.
func (m *mailbox) rest() []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.items[m.head:]
	m.items, m.head, m.bytes = nil, 0, 0
	return rest
}
