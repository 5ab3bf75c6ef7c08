package mqtt

import (
	"slices"
	"sync"
	"time"
)

// entry is a message of QoS 1 or 2 that has arrived and is not acknowledged.
type entry struct {
	topic    string
	received time.Time
	id       uint16
	qos      byte
	acked    bool
}

// inflight holds the unacknowledged messages of one connection in order of arrival. The
// pipeline may acknowledge them in any order; acknowledgements leave in order of
// arrival.
//
// Each message has a ticket, 1 for the first of the connection. Tickets are never
// reused, unlike packet identifiers.
type inflight struct {
	mu        sync.Mutex
	entries   []entry
	head      int                   // entries before it have been released
	first     uint64                // ticket of entries[head]
	open      *[1 << 16 / 64]uint64 // one bit per packet identifier in entries; nil before the first
	discarded bool
}

func newInflight() *inflight { return &inflight{first: 1} }

// nextLocked returns the ticket of the next message.
func (f *inflight) nextLocked() uint64 { return f.first + uint64(len(f.entries)-f.head) }

// add appends messages in order of arrival and returns the ticket of the first. The
// others have consecutive tickets.
func (f *inflight) add(messages ...entry) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	ticket := f.nextLocked()
	if f.head > len(f.entries)/2 && len(f.entries)+len(messages) > cap(f.entries) {
		n := copy(f.entries, f.entries[f.head:])
		clear(f.entries[n:])
		f.entries, f.head = f.entries[:n], 0
	}
	f.entries = append(f.entries, messages...)
	if f.open == nil {
		f.open = new([1 << 16 / 64]uint64)
	}
	for i := range messages {
		f.open[messages[i].id/64] |= 1 << (messages[i].id % 64)
	}
	return ticket
}

// holds reports whether a message of the identifier and the topic is
// unacknowledged. A broker may not use an identifier for another message before
// that (MQTT 5.0 section 4.3.2).
func (f *inflight) holds(id uint16, topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil || f.open[id/64]&(1<<(id%64)) == 0 {
		return false
	}
	return slices.ContainsFunc(f.entries[f.head:], func(e entry) bool { return e.id == id && e.topic == topic })
}

// ack marks count messages from ticket on as acknowledged. It appends to buf the
// packets of those that have no unacknowledged message before them. Tickets that are
// released already, or belong to a closed connection, are ignored.
func (f *inflight) ack(buf []byte, ticket uint64, count int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.discarded {
		return buf
	}
	for ; count > 0; ticket, count = ticket+1, count-1 {
		if ticket >= f.first && ticket < f.nextLocked() {
			f.entries[f.head+int(ticket-f.first)].acked = true
		}
	}
	for f.head < len(f.entries) && f.entries[f.head].acked {
		e := &f.entries[f.head]
		packetType := byte(typePuback)
		if e.qos == 2 {
			packetType = typePubrec
		}
		buf = appendAck(buf, packetType, e.id)
		f.open[e.id/64] &^= 1 << (e.id % 64)
		e.topic = ""
		f.head++
		f.first++
	}
	if f.head == len(f.entries) {
		f.entries, f.head = f.entries[:0], 0
	}
	return buf
}

// discard drops all messages: nothing is released after it.
func (f *inflight) discard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.discarded = true
	f.entries, f.head = nil, 0
}

// oldest returns the number of unacknowledged messages, and the oldest of them.
func (f *inflight) oldest() (count int, topic string, received time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == len(f.entries) {
		return 0, "", time.Time{}
	}
	e := f.entries[f.head]
	return len(f.entries) - f.head, e.topic, e.received
}

// progress returns the number of unacknowledged messages, and a counter that grows with
// each released message.
func (f *inflight) progress() (waiting int, released uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.entries) - f.head, f.first
}
