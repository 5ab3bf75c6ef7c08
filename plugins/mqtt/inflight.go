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

// inflight holds the unacknowledged messages of one connection in the order of
// their arrival. Acknowledgements may come in any order; they leave in this one.
//
// A message has a ticket, 1 for the first of the connection, that stays good
// after the message is gone: packet identifiers come back, tickets do not.
type inflight struct {
	mu      sync.Mutex
	entries []entry
	head    int                   // entries before it have been released
	first   uint64                // ticket of entries[head]
	open    *[1 << 16 / 64]uint64 // a bit for each packet identifier in entries; nil before the first
	dead    bool
}

func newInflight() *inflight { return &inflight{first: 1} }

// nextLocked is the ticket that the next message will get.
func (f *inflight) nextLocked() uint64 { return f.first + uint64(len(f.entries)-f.head) }

// add takes messages in the order of their arrival and returns the ticket of
// the first; the others follow by one each.
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

// ack marks count messages from ticket on as acknowledged and appends to buf the
// packets of those that no unacknowledged message stands before. Tickets already
// released, and all those of a dead connection, do nothing.
func (f *inflight) ack(buf []byte, ticket uint64, count int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
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

// kill ends the connection's part: nothing is released from here on.
func (f *inflight) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	f.entries, f.head = nil, 0
}

// oldest returns how many messages are unacknowledged, and the oldest of them.
func (f *inflight) oldest() (count int, topic string, received time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == len(f.entries) {
		return 0, "", time.Time{}
	}
	e := f.entries[f.head]
	return len(f.entries) - f.head, e.topic, e.received
}

// progress returns how many messages are unacknowledged, and a number that grows
// with each that is released.
func (f *inflight) progress() (waiting int, released uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.entries) - f.head, f.first
}
