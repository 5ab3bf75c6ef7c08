package kafka

import (
	"slices"
	"sync/atomic"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// segment is a run of records, or a list of them in order.
type segment struct {
	from, to int
	list     []int // where it is not a run
}

func (s segment) len() int {
	if s.list != nil {
		return len(s.list)
	}
	return s.to - s.from
}

func (s segment) at(k int) int {
	if s.list != nil {
		return s.list[k]
	}
	return s.from + k
}

// delivery is one batch on its way. It belongs to one goroutine at a time:
// while run is running to that one, and after done is closed to the output.
type delivery struct {
	batch service.MessageBatch
	*buffers
	errs []error // by record: those that were given up; nil without any
	hold bool    // stop at the first refusal

	again []segment // to be written before the rest, in order
	next  int       // the first record that was not tried yet

	fault    *failure // why it stopped
	counted  int      // the record that was counted as a fault, from 1
	progress atomic.Int64
	done     chan struct{} // closed when run has ended
}

func newDelivery(batch service.MessageBatch, b *buffers, errs []error, hold bool) *delivery {
	return &delivery{batch: batch, buffers: b, errs: errs, hold: hold}
}

// start writes what is left of the batch, in a goroutine that ends by closing
// done: when nothing is left, at a fault if it holds at one, or when the
// producer is closed.
func (d *delivery) start(p *producer) {
	d.fault = nil
	d.done = make(chan struct{})
	go func() {
		defer close(d.done)
		d.run(p)
	}()
}

// ended says whether the last start has come to its end.
func (d *delivery) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// is says whether the batch is the one under way. The engine hands over the
// same messages again, whose payloads lie where they lay before.
func (d *delivery) is(batch service.MessageBatch) bool {
	if len(batch) != len(d.batch) {
		return false
	}
	for i, msg := range batch {
		payload, err := msg.AsBytes()
		before, beforeErr := d.batch[i].AsBytes()
		if err != nil || beforeErr != nil || !samePlace(payload, before) {
			return false
		}
	}
	return true
}

// samePlace compares slices by place. They are both in use, so that neither
// place can have been given to something else.
func samePlace(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// topics are some topics of the batch, few enough to ask about.
func (d *delivery) topics() []string {
	const most = 100
	var topics []string
	for i := range d.records {
		topic := d.records[i].Topic
		if topic != "" && !slices.Contains(topics, topic) {
			if topics = append(topics, topic); len(topics) == most {
				break
			}
		}
	}
	return topics
}

func (d *delivery) run(p *producer) {
	p.learn(d.records)
	for d.fault == nil {
		seg, ok := d.take(p)
		if !ok {
			return
		}
		if failures := p.write(d.records, seg, &d.progress); len(failures) > 0 {
			d.settle(p, seg.len(), failures)
		}
	}
}

// take is what to write next; ok is false when there is nothing, or the next
// record cannot be written at all and holds the batch.
func (d *delivery) take(p *producer) (seg segment, ok bool) {
	if len(d.again) > 0 {
		seg, d.again = d.again[0], d.again[1:]
		return seg, true
	}
	for d.next < len(d.records) && d.errs != nil && d.errs[d.next] != nil {
		if d.hold {
			d.fault = &failure{d.next, d.errs[d.next]}
			return segment{}, false
		}
		d.next++
	}
	if d.next == len(d.records) {
		return segment{}, false
	}
	end := p.part(d.records, d.next)
	for i := d.next; d.errs != nil && i < end; i++ {
		if d.errs[i] != nil {
			end = i
		}
	}
	seg = segment{from: d.next, to: end}
	d.next = end
	return seg, true
}

// settle decides about the refused records of a segment of this many records.
// Where one record may have taken others down with it, they are written again
// in halves, until it is alone.
func (d *delivery) settle(p *producer, size int, failures []failure) {
	var open []int
	for _, f := range failures {
		if size > 1 && sharedByBatch(f.err) {
			open = append(open, f.index)
			continue
		}
		if d.hold {
			d.keep(failures, f)
			return
		}
		if d.errs == nil {
			d.errs = make([]error, len(d.records))
		}
		d.errs[f.index] = f.err
	}
	if len(open) == 0 {
		return
	}
	d.refit(p, failures)
	half := (len(open) + 1) / 2
	halves := []segment{{list: open[:half]}}
	if half < len(open) {
		halves = append(halves, segment{list: open[half:]})
	}
	d.again = append(halves, d.again...)
}

// refit reads the limits anew of the topics that have found a record batch of
// these records too large.
func (d *delivery) refit(p *producer, failures []failure) {
	sizes := map[string]int{}
	for _, f := range failures {
		if r := &d.records[f.index]; isTooLarge(f.err) {
			sizes[r.Topic] += recordSize(r)
		}
	}
	for topic := range sizes {
		p.limits.forget(topic)
	}
	p.learn(d.records)
	for topic, size := range sizes {
		p.limits.refused(topic, size+batchOverhead)
	}
}

// keep holds the batch because of a fault, all refused records ahead of what
// was not tried yet. The first of them goes alone the next time: as long as it
// is refused, the others need not be sent.
func (d *delivery) keep(failures []failure, why failure) {
	list := make([]int, len(failures))
	for i, f := range failures {
		list[i] = f.index
	}
	kept := []segment{{list: list[:1]}}
	if len(list) > 1 {
		kept = append(kept, segment{list: list[1:]})
	}
	d.again = slices.Concat(kept, d.again)
	d.fault = &why
}
