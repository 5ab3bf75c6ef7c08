package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// producer writes parts of batches through one client.
type producer struct {
	client *kgo.Client
	conf   *config
	limits limits
	sorted *sorted
	links  links

	mu     sync.Mutex
	sign   *sign // nil unless a question is open
	closed bool
	asking sync.WaitGroup
}

func newProducer(conf *config, logger kgo.Logger) (*producer, error) {
	p := &producer{conf: conf, sorted: newSorted(), limits: limits{age: conf.metadataMaxAge}}
	var err error
	p.client, err = kgo.NewClient(conf.options(logger, p.sorted, &p.links)...)
	return p, err
}

// sign is a question to brokers whether they are there.
type sign struct {
	done chan struct{} // closed when err is set
	err  error
}

// ping waits for a sign of life of any broker, so long at most. The client makes
// a request wait for the ones before it to the same broker, whatever its context
// says: for a connection that is being dialled into the void, or for one that
// answers nothing. So the question may outlive its asker, and the next one waits
// for the same answer.
func (p *producer) ping(ctx context.Context, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	sign := p.ask()
	select {
	case <-sign.done:
		if !errors.Is(sign.err, context.DeadlineExceeded) {
			return sign.err
		}
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return fmt.Errorf("no answer within %s", patience)
}

// ask returns the question that is open, or a new one. It ends with the client
// at the latest.
func (p *producer) ask() *sign {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sign != nil {
		return p.sign
	}
	asked := &sign{done: make(chan struct{})}
	if p.closed {
		asked.err = kgo.ErrClientClosed
		close(asked.done)
		return asked
	}
	p.sign = asked
	p.asking.Go(func() {
		defer p.conf.guard.Catch("the output kafka_franz, asking Kafka for a sign of life")
		ctx, cancel := context.WithTimeout(p.client.Context(), p.conf.requestOverhead)
		defer cancel()
		asked.err = p.client.Ping(ctx)
		p.mu.Lock()
		p.sign = nil
		p.mu.Unlock()
		close(asked.done)
	})
	return asked
}

// close gives up what is under way.
func (p *producer) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.client.Close()
	p.asking.Wait()
}

// learn reads the limits of the records' topics, unless it takes too long.
func (p *producer) learn(records []kgo.Record) {
	ctx, cancel := context.WithTimeout(context.Background(), p.conf.requestOverhead)
	defer cancel()
	p.limits.learn(ctx, p.client, records)
}

// limit is the size that a record batch of the topic may have.
func (p *producer) limit(topic string) int {
	if bytes := p.limits.start(topic); bytes > 0 && bytes < int(p.conf.maxMessageBytes) {
		return bytes
	}
	return int(p.conf.maxMessageBytes)
}

// part is the end of the longest part of the records from here on that can be
// written at once: one that makes no record batch larger than its topic takes,
// and that the client can hold. A single record is always a part.
func (p *producer) part(records []kgo.Record, from int) int {
	total, smallest := batchOverhead, 0
	users := 0
	end := from
	for ; end < len(records) && end-from < p.conf.maxBufferedRecords; end++ {
		r := &records[end]
		if end == from || r.Topic != records[end-1].Topic {
			if limit := p.limit(r.Topic); smallest == 0 || limit < smallest {
				smallest = limit
			}
		}
		size := recordSize(r)
		total += size
		users += size
		if end > from && (total > smallest || p.conf.maxBufferedBytes > 0 && users > p.conf.maxBufferedBytes) {
			break
		}
	}
	return end
}

// failure is the refusal of the record with this index.
type failure struct {
	index int
	err   error
}

// write writes the records of seg and returns those that were refused, in
// order, once every record is either in Kafka or refused. progress counts the
// ones that are in Kafka. It ends early only when the client is closed.
func (p *producer) write(records []kgo.Record, seg segment, progress *atomic.Int64) []failure {
	w := &writing{guard: p.conf.guard, done: make(chan struct{}), progress: progress, sorted: p.sorted}
	n := seg.len()
	w.left.Store(int64(n))
	before := p.sorted.count.Load()
	promise := w.promise // once, since every use of the method allocates
	for k := range n {
		p.client.Produce(context.Background(), &records[seg.at(k)], promise)
	}
	if p.conf.manualFlush() {
		// A flush lets the client write from the first record on. So it has to
		// wait until each has its partition, which for a topic that is not
		// known yet takes a while.
		p.sorted.wait(func() bool { return p.sorted.count.Load()-before+w.refused.Load() >= int64(n) })
		nudge := p.nudge()
		_ = p.client.Flush(context.Background())
		nudge.end()
	}
	<-w.done
	return w.failures(records, seg)
}

// nudge flushes again and again, ever more seldom, until it is ended. A flush
// does not reach a topic whose partitions the client is about to learn:
//
//   - the client gives the waiting records their partitions
//   - with the last one, we flush: the topic has no partitions yet
//   - the client enters the partitions
//   - nothing writes the records
func (p *producer) nudge() *nudge {
	n := &nudge{client: p.client, guard: p.conf.guard, wait: 10 * time.Millisecond}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.timer = time.AfterFunc(n.wait, n.flush)
	return n
}

type nudge struct {
	client *kgo.Client
	guard  *crash.Guard

	mu    sync.Mutex
	timer *time.Timer
	wait  time.Duration
	ended bool
}

// flush sets the client going without waiting for it: the flush that waits is
// still there and keeps it going.
func (n *nudge) flush() {
	defer n.guard.Catch("the output kafka_franz, flushing")
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.client.Flush(ctx)
	n.wait = min(2*n.wait, time.Second)
	n.timer.Reset(n.wait)
}

// end returns once no flush is running, which would write a half-made part.
func (n *nudge) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
	n.timer.Stop()
}

// writing waits for the promises of one part.
type writing struct {
	guard    *crash.Guard
	left     atomic.Int64
	refused  atomic.Int64
	done     chan struct{}
	progress *atomic.Int64
	sorted   *sorted

	mu     sync.Mutex
	failed map[*kgo.Record]error
}

func (w *writing) promise(r *kgo.Record, err error) {
	defer w.settle() // also after a panic, or the batch would never end
	defer w.guard.Catch("the output kafka_franz, when Kafka has answered for a record")
	if err != nil {
		w.mu.Lock()
		if w.failed == nil {
			w.failed = map[*kgo.Record]error{}
		}
		w.failed[r] = err
		w.mu.Unlock()
		w.refused.Add(1)
		w.sorted.wake()
	} else {
		w.progress.Add(1)
	}
}

// settle counts a record that Kafka has answered for.
func (w *writing) settle() {
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
}

func (w *writing) failures(records []kgo.Record, seg segment) []failure {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failed) == 0 {
		return nil
	}
	failures := make([]failure, 0, len(w.failed))
	for k := range seg.len() {
		i := seg.at(k)
		if err, ok := w.failed[&records[i]]; ok {
			failures = append(failures, failure{i, err})
		}
	}
	return failures
}

// sorted counts the records that have their partition.
type sorted struct {
	count  atomic.Int64
	waits  atomic.Bool
	notify chan struct{}
}

func newSorted() *sorted { return &sorted{notify: make(chan struct{}, 1)} }

// OnProduceRecordPartitioned implements kgo.HookProduceRecordPartitioned.
func (s *sorted) OnProduceRecordPartitioned(*kgo.Record, int32) {
	s.count.Add(1)
	s.wake()
}

func (s *sorted) wake() {
	if s.waits.Load() {
		select {
		case s.notify <- struct{}{}:
		default:
		}
	}
}

// wait returns once enough says so. The flag is up before enough is asked, so
// that what happens after the question sends a notice.
func (s *sorted) wait(enough func() bool) {
	s.waits.Store(true)
	for !enough() {
		<-s.notify
	}
	s.waits.Store(false)
}
