package kafka

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// segment is a range of records, or an ordered list of them.
type segment struct {
	from, to int
	list     []int // set if the records are not a range
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

// delivery is one batch that is being written. One goroutine at a time owns it: the
// goroutine of start while it runs, and the output after done is closed.
type delivery struct {
	batch service.MessageBatch
	*buffers
	errs    []error         // by record: those that were given up, or cannot be written; nil if there are none
	handler *failureHandler // nil to reject refused records
	began   time.Time

	again []segment // to be written before the rest, in order
	next  int       // the first record that was not tried yet

	fault          *failure                 // why the delivery stopped
	counted        int                      // the record that was counted as refused last, from 1
	tried          int                      // the record that was retried as often as the strategy allows, from 1
	handled        []handled                // the records that the strategy has discarded or dead-lettered
	refused        bool                     // whether Kafka has refused a record, which may still be in flight
	progress       atomic.Int64             // counts the acknowledgements
	waiting        atomic.Bool              // whether it is waiting on purpose, before a retry or for linger
	deadLettersVia atomic.Pointer[producer] // set while it waits for a dead letter
	done           chan struct{}            // closed when run has ended

	// Owned by the output: the state of the last call of quiet.
	acked    int64     // the progress
	activeAt time.Time // the time of the last progress
	warned   bool      // whether its silence was logged
}

// handled is a record that was discarded or dead-lettered.
type handled struct {
	index int
	why   error
}

func newDelivery(batch service.MessageBatch, b *buffers, errs []error, handler *failureHandler) *delivery {
	now := time.Now()
	return &delivery{batch: batch, buffers: b, errs: errs, handler: handler, began: now, activeAt: now}
}

// start writes the rest of the batch in a goroutine. When that goroutine stops, it
// closes done and calls ended: when nothing is left, at an error that holds the batch,
// or when the producer is closed.
func (d *delivery) start(p *producer, ended func()) {
	d.fault = nil
	d.activeAt = time.Now()
	d.done = make(chan struct{})
	go func() {
		defer ended()
		defer close(d.done)
		defer p.conf.guard.Catch("the output kafka_franz, writing a batch")
		d.run(p)
	}()
}

// quiet returns for how long Kafka has acknowledged no record of the batch while it
// should have. Progress since the last call counts as progress now.
func (d *delivery) quiet(now time.Time) time.Duration {
	if acked := d.progress.Load(); acked != d.acked || d.waiting.Load() {
		d.acked, d.activeAt = acked, now
	}
	return now.Sub(d.activeAt)
}

// ended reports whether the last start has finished.
func (d *delivery) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// topics returns some topics of the batch, few enough to query.
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
	d.linger(p)
	for d.fault == nil {
		seg, ok := d.nextSegment(p)
		if !ok {
			return
		}
		if failures := p.write(d.records, seg, &d.progress); len(failures) > 0 {
			d.refused = true
			d.handleFailures(p, seg.len(), failures)
		}
	}
}

// linger waits for the configured time, if nothing was tried yet and the batch is
// small.
func (d *delivery) linger(p *producer) {
	if wait := p.conf.linger; wait > 0 && p.conf.oneAtATime() && d.next == 0 && p.part(d.records, 0, &d.rooms) == len(d.records) {
		d.wait(p, wait)
	}
}

// wait returns false if the client was closed during the wait.
func (d *delivery) wait(p *producer, wait time.Duration) bool {
	d.waiting.Store(true)
	defer d.waiting.Store(false)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.client.Context().Done():
		return false
	}
}

// nextSegment returns what to write next. ok is false when there is nothing, or when
// the next record cannot be written at all and holds the batch.
func (d *delivery) nextSegment(p *producer) (seg segment, ok bool) {
	if len(d.again) > 0 {
		seg, d.again = d.again[0], d.again[1:]
		return seg, true
	}
	for d.next < len(d.records) && d.errs != nil && d.errs[d.next] != nil {
		if d.handler != nil {
			f := failure{d.next, d.errs[d.next]}
			if d.fault = d.applyStrategy(p, f); d.fault != nil {
				return segment{}, false
			}
		}
		d.next++
	}
	if d.next == len(d.records) {
		return segment{}, false
	}
	end := p.part(d.records, d.next, &d.rooms)
	p.renew(&d.rooms)
	for i := d.next; d.errs != nil && i < end; i++ {
		if d.errs[i] != nil {
			end = i
		}
	}
	seg = segment{from: d.next, to: end}
	d.next = end
	return seg, true
}

// handleFailures handles the refused records of a segment of size records. If one
// record may have made Kafka refuse others too, they are written again in halves until
// that record is alone.
func (d *delivery) handleFailures(p *producer, size int, failures []failure) {
	var open []int
	exhausted := d.handler != nil && p.onlyLimitReached(d.records, failures)
	for k, f := range failures {
		switch {
		case size > 1 && sharedByBatch(f.err):
			open = append(open, f.index)
		case d.handler != nil:
			if fault := d.retryAlone(p, f, exhausted); fault != nil {
				d.holdAt(append(open, indexes(failures[k:])...), *fault)
				return
			}
		case p.conf.oneAtATime() && notConnected(f.err):
			d.holdAt(append(open, indexes(failures[k:])...), f)
			return
		default:
			if d.errs == nil {
				d.errs = make([]error, len(d.records))
			}
			d.errs[f.index] = f.err
		}
	}
	if len(open) == 0 {
		return
	}
	d.relearnLimits(p, failures)
	half := (len(open) + 1) / 2
	halves := []segment{{list: open[:half]}}
	if half < len(open) {
		halves = append(halves, segment{list: open[half:]})
	}
	d.again = append(halves, d.again...)
}

func indexes(failures []failure) []int {
	list := make([]int, len(failures))
	for i, f := range failures {
		list[i] = f.index
	}
	return list
}

// retryAlone retries a refused record alone, as often as the strategy allows, and gives
// it up after that. Nothing else is written in the meantime. It returns the error that
// holds the batch, if there is one.
func (d *delivery) retryAlone(p *producer, f failure, exhausted bool) *failure {
	if !d.handler.handles(f.err, exhausted) {
		return &f
	}
	d.count(f)
	if d.tried != f.index+1 {
		times, wait := d.handler.retries(f.err)
		for range times {
			if !d.wait(p, wait) {
				return &failure{f.index, kgo.ErrClientClosed}
			}
			d.handler.metrics.retried.Incr(1)
			failures := p.write(d.records, segment{from: f.index, to: f.index + 1}, &d.progress)
			if len(failures) == 0 {
				return nil
			}
			f = failures[0]
			if !d.handler.handles(f.err, p.onlyLimitReached(d.records, failures)) {
				return &f
			}
		}
		d.tried = f.index + 1
	}
	return d.applyStrategy(p, f)
}

// applyStrategy discards or dead-letters the record as the strategy says. If that is
// impossible, it returns the error that holds the batch.
func (d *delivery) applyStrategy(p *producer, f failure) *failure {
	if !d.handler.handles(f.err, true) {
		return &f
	}
	d.count(f)
	r := &d.records[f.index]
	refusal := explainer{p.conf}.refusal(f.err, r, f.index, len(d.records), p.topics.limit(r.Topic))
	if err := d.handler.discardOrDeadLetter(r, refusal, d); err != nil {
		return &failure{f.index, err}
	}
	d.handled = append(d.handled, handled{f.index, refusal})
	return nil
}

// count counts a refused record, the first time that it is refused. Without a strategy
// nothing holds the batch but a Kafka that is not reached, which refuses no record.
func (d *delivery) count(f failure) {
	if d.handler != nil && d.counted != f.index+1 {
		d.counted = f.index + 1
		d.handler.metrics.fail(d.records[f.index].Topic, f.err)
	}
}

// relearnLimits reads the limits of the topics that refused a record batch of these
// records as too large.
func (d *delivery) relearnLimits(p *producer, failures []failure) {
	sizes := map[string]int{}
	for _, f := range failures {
		if r := &d.records[f.index]; isTooLarge(f.err) {
			sizes[r.Topic] += recordSize(r)
		}
	}
	if len(sizes) == 0 {
		return
	}
	for name := range sizes {
		p.topics.forget(name)
	}
	p.learnNow(slices.Collect(maps.Keys(sizes))...)
	for name, size := range sizes {
		p.topics.refused(name, size+batchOverhead)
	}
}

// holdAt holds the batch because of an error. The refused records of the list come
// before the records that were not tried yet. The first of them is retried alone: as
// long as it is refused, the others need not be sent.
func (d *delivery) holdAt(list []int, why failure) {
	kept := []segment{{list: list[:1]}}
	if len(list) > 1 {
		kept = append(kept, segment{list: list[1:]})
	}
	d.again = slices.Concat(kept, d.again)
	d.fault = &why
}
