package kafka

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// assignments are the partitions that the group has assigned to the input. They hold the fetched
// records until the pipeline takes them, and know what is acknowledged.
//
// Of a partition, one batch is out at a time: the pipeline has it, or it waits to be
// handed over again. So a rejected message comes again before any later one of its
// partition, whatever the engine has taken in the meantime.
type assignments struct {
	mu      sync.Mutex
	byName  map[partitionName]*partition
	inOrder []*partition // in turn; the next is first
	again   []*handed    // rejected, in the order of rejection
	memory  int          // of the records that wait, in bytes
	closed  bool
	changed chan struct{} // closed and replaced when any of these change
}

type partitionName struct {
	topic  string
	number int32
}

// partition is one assignment of a partition: it ends when the group takes it away.
type partition struct {
	partitionName
	waiting   []slot
	out       *handed // nil if nothing of it is out
	next      int64   // the offset after the last record that is out or was
	epoch     int32   // of the leader, for next
	acked     int64   // the offset to commit, -1 if nothing was acknowledged
	committed int64   // the offset that was committed, -1 if none was
	ending    bool    // the group takes it away
}

// slot is a record that the pipeline gets or has.
type slot struct {
	record   *kgo.Record
	lag      int64
	size     int
	received time.Time
	of       *partition
	owed     *handed // the batch in which the pipeline has it
	place    int     // in that batch
}

// slotMemory is what a record takes in memory beside its key, its value and its headers:
// a kgo.Record and a slot. Small records are mostly that.
const slotMemory = 300

func (s *slot) memory() int { return slotMemory + s.size }

// handed is a batch of records of one or more partitions.
type handed struct {
	slots    []slot
	attempts int // how often its records were handed over
}

func newAssignments() *assignments {
	return &assignments{byName: map[partitionName]*partition{}, changed: make(chan struct{})}
}

func (p *assignments) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeLocked()
}

func (p *assignments) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// changes returns a channel that the next change closes.
func (p *assignments) changes() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// assign begins assignments.
func (p *assignments) assign(names []partitionName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		part := &partition{partitionName: name, acked: -1, committed: -1}
		p.byName[name] = part
		p.inOrder = append(p.inOrder, part)
	}
	p.wakeLocked()
}

// add adds the records that were fetched of a partition. Those of one that is not
// assigned are dropped: its owner fetches them.
func (p *assignments) add(name partitionName, records []*kgo.Record, end int64) {
	if len(records) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.byName[name]
	if part == nil || part.ending {
		return
	}
	now := time.Now()
	for _, r := range records {
		s := slot{record: r, lag: max(0, end-r.Offset-1), size: recordSize(r), received: now, of: part}
		part.waiting = append(part.waiting, s)
		p.memory += s.memory()
	}
	p.wakeLocked()
}

// nextBatch returns the next records, nil if there are none: of every partition that has
// nothing out, in turn, up to the limits. It returns at least one record.
func (p *assignments) nextBatch(maxMessages, maxBytes int) *handed {
	p.mu.Lock()
	defer p.mu.Unlock()
	var h handed
	bytes, memory, last := 0, 0, -1
	for i, part := range p.inOrder {
		if part.out != nil || part.ending || len(part.waiting) == 0 {
			continue
		}
		n := 0
		for n < len(part.waiting) && len(h.slots)+n < maxMessages {
			size := part.waiting[n].size
			if bytes+size > maxBytes && len(h.slots)+n > 0 {
				break
			}
			bytes += size
			memory += part.waiting[n].memory()
			n++
		}
		if n == 0 {
			break
		}
		h.slots = append(h.slots, part.waiting[:n]...)
		newest := part.waiting[n-1].record
		part.next, part.epoch = newest.Offset+1, newest.LeaderEpoch
		clear(part.waiting[:n])
		if part.waiting = part.waiting[n:]; len(part.waiting) == 0 {
			part.waiting = nil
		}
		part.out = &h
		last = i
	}
	if last < 0 {
		return nil
	}
	p.inOrder = slices.Concat(p.inOrder[last+1:], p.inOrder[:last+1])
	p.memory -= memory
	h.handOver()
	p.wakeLocked()
	return &h
}

// handOver makes the slots those of one batch that the pipeline gets.
func (h *handed) handOver() {
	h.attempts++
	for i := range h.slots {
		h.slots[i].owed, h.slots[i].place = h, i
	}
}

// pause is how long a batch that was rejected waits. Only what keeps failing waits.
func (h *handed) pause() time.Duration {
	if h.attempts < 3 {
		return 0
	}
	return min(time.Millisecond<<min(h.attempts-3, 10), time.Second)
}

// rejected returns the batch that is handed over again next, nil if there is none.
func (p *assignments) rejected() *handed {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.again) == 0 {
		return nil
	}
	return p.again[0]
}

// takeRejected takes the batch that rejected has returned. It reports false if the batch is
// not there any more: the group has taken its partitions away.
func (p *assignments) takeRejected(h *handed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.again) == 0 || p.again[0] != h {
		return false
	}
	p.again = p.again[1:]
	h.handOver()
	return true
}

// answer notes what the pipeline has done with a batch: failed are the slots that it
// rejected, in order. They come again, unless the group takes their partition away.
func (p *assignments) answer(h *handed, failed []slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := &handed{attempts: h.attempts}
	first := map[*partition]int64{} // the first rejected offset
	for _, s := range failed {
		if s.of.out != h {
			continue // answered before, or the assignment has ended
		}
		if _, known := first[s.of]; !known {
			first[s.of] = s.record.Offset
		}
		if !s.of.ending && !p.closed {
			again.slots = append(again.slots, s)
		}
	}
	for i := range h.slots {
		part := h.slots[i].of
		if part.out != h {
			continue
		}
		part.acked, part.out = part.next, nil
		if offset, ok := first[part]; ok {
			part.acked = offset
			if !part.ending && !p.closed {
				part.out = again
			}
		}
	}
	if len(again.slots) > 0 {
		p.again = append(p.again, again)
	}
	p.wakeLocked()
}

// end ends assignments: what waits is dropped, and nothing of them is handed over any
// more. It returns once nothing of them is out, or when the context ends, and reports
// how many records are out then. An answer that comes later does nothing.
func (p *assignments) end(ctx context.Context, names []partitionName) (out int) {
	ending := p.beginEnd(names)
	for {
		p.mu.Lock()
		changed, closed := p.changed, p.closed
		out = 0
		for _, part := range ending {
			if part.out != nil {
				out += part.out.count(part)
			}
		}
		p.mu.Unlock()
		if out == 0 || closed {
			return out
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return out
		}
	}
}

// count returns the number of records of a partition in a batch.
func (h *handed) count(part *partition) (n int) {
	for i := range h.slots {
		if h.slots[i].of == part {
			n++
		}
	}
	return n
}

func (p *assignments) beginEnd(names []partitionName) (ending []*partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		part := p.byName[name]
		if part == nil {
			continue
		}
		part.ending = true
		for _, s := range part.waiting {
			p.memory -= s.memory()
		}
		part.waiting = nil
		ending = append(ending, part)
	}
	// What waits to be handed over again is with nobody: its new owner delivers it.
	for _, h := range p.again {
		h.slots = slices.DeleteFunc(h.slots, func(s slot) bool {
			if s.of.ending {
				s.of.out = nil
			}
			return s.of.ending
		})
	}
	p.again = slices.DeleteFunc(p.again, func(h *handed) bool { return len(h.slots) == 0 })
	p.wakeLocked()
	return ending
}

// remove forgets assignments that have ended.
func (p *assignments) remove(names []partitionName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		if part := p.byName[name]; part != nil {
			part.out = nil
			delete(p.byName, name)
			p.inOrder = slices.DeleteFunc(p.inOrder, func(other *partition) bool { return other == part })
		}
	}
	p.wakeLocked()
}

// toCommit returns the offsets that are acknowledged and not committed.
func (p *assignments) toCommit() map[string]map[int32]kgo.EpochOffset {
	p.mu.Lock()
	defer p.mu.Unlock()
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for name, part := range p.byName {
		if part.acked < 0 || part.acked == part.committed {
			continue
		}
		if offsets[name.topic] == nil {
			offsets[name.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[name.topic][name.number] = kgo.EpochOffset{Epoch: part.epoch, Offset: part.acked}
	}
	return offsets
}

// noteCommitted notes an offset that Kafka has.
func (p *assignments) noteCommitted(name partitionName, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if part := p.byName[name]; part != nil {
		part.committed = offset
	}
}

// awaitRoom returns once what waits takes less memory than the limit, or when the context
// ends.
func (p *assignments) awaitRoom(ctx context.Context, limit int) {
	for {
		p.mu.Lock()
		full, changed := p.memory >= limit, p.changed
		p.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// outstanding returns the number of records that are out, and when the oldest of them
// was received.
func (p *assignments) outstanding() (count int, oldest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[*handed]bool{}
	for _, part := range p.inOrder {
		h := part.out
		if h == nil || seen[h] {
			continue
		}
		seen[h] = true
		count += len(h.slots)
		for i := range h.slots {
			if at := h.slots[i].received; oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		}
	}
	return count, oldest
}

// close makes an end wait no more: the input is closed, and nobody answers.
func (p *assignments) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.wakeLocked()
}
