package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// producer writes parts of batches with one client.
type producer struct {
	link
	conf        *config
	topics      topics
	partitioned *partitioned
}

func newProducer(conf *config, logger kgo.Logger) (*producer, error) {
	p := &producer{link: link{of: &conf.clientConfig}, conf: conf, partitioned: newPartitioned(), topics: topics{age: conf.metadataMaxAge}}
	p.topics.read = func(ctx context.Context, names []string) map[string]int32 {
		return maxMessageBytes(ctx, p.client, names)
	}
	var err error
	p.client, err = kgo.NewClient(conf.options(&p.topics, logger, p.partitioned, &p.connectFailures, &p.handshakes)...)
	return p, err
}

// renew reads the limits of the topics of a part in the background, if that is due.
func (p *producer) renew(rooms *batchRooms) {
	now := time.Now().UnixNano()
	start := false
	for i := range rooms.list {
		if topic := rooms.list[i].topic; topic != nil && p.topics.markStale(topic, now) {
			start = true
		}
	}
	if start {
		p.goBackground("reading the limits of topics", func() { p.topics.readStale(p.client.Context(), p.conf.requestOverhead) })
	}
}

// learnNow reads the limits of topics for which Kafka has just refused records, so it
// can be expected to answer. Without an answer within a second, the sizes of the
// refused record batches have to do.
func (p *producer) learnNow(names ...string) {
	ctx, cancel := context.WithTimeout(p.client.Context(), time.Second)
	defer cancel()
	p.topics.learn(ctx, names)
}

// learnFirst reads the limit of the topic before anything is written to it. If Kafka
// has the topic, the producer knows it afterwards.
func (p *producer) learnFirst(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for name, limit := range p.topics.read(ctx, []string{name}) {
		if limit > 0 {
			p.topics.add(name).learned(limit, p.topics.age)
		}
	}
}

// forgetMissing makes the client forget those of the topics that Kafka never had.
// Otherwise it would keep their names and query them forever. No record may be in
// flight.
func (p *producer) forgetMissing(names map[string]bool) {
	var missing []string
	for name := range names {
		if p.topics.get(name) == nil {
			missing = append(missing, name)
		}
	}
	p.client.PurgeTopicsFromProducing(missing...)
}

// maxPart limits the bytes of a part that goes to many partitions.
const maxPart = 16 << 20

// part returns the end of the longest part that starts at from and can be written at
// once: at most one record batch per partition, within the limits of its topic and of
// the client. A single record is always a part.
func (p *producer) part(records []kgo.Record, from int, rooms *batchRooms) int {
	rooms.reset()
	var room *batchRoom
	bytes, most := 0, max(maxPart, int(p.conf.maxMessageBytes))
	end := from
	for ; end < len(records) && end-from < p.conf.maxBufferedRecords; end++ {
		r := &records[end]
		if room == nil || r.Topic != room.name {
			room = rooms.forTopic(r.Topic, p)
		}
		size := recordSize(r)
		bytes += size
		fits := room.addRecord(p.conf.foresee(r, room.partitions()), size) && bytes <= most &&
			(p.conf.maxBufferedBytes == 0 || bytes <= p.conf.maxBufferedBytes)
		if !fits && end > from {
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

// write writes the records of seg. It returns those that were refused, in order, when
// every record is either in Kafka or refused. progress counts those that are in Kafka.
// It returns early only when the client is closed.
func (p *producer) write(records []kgo.Record, seg segment, progress *atomic.Int64) []failure {
	w := &writing{
		guard: p.conf.guard, done: make(chan struct{}), progress: progress, partitioned: p.partitioned,
		hasDeadline: p.conf.limits.timeout > 0,
	}
	n := seg.len()
	w.left.Store(int64(n))
	before := p.partitioned.count.Load()
	ctx, cancel := p.conf.limits.context()
	defer cancel()
	promise := w.promise // once, because every use of the method value allocates
	for k := range n {
		p.client.Produce(ctx, &records[seg.at(k)], promise)
	}
	if p.conf.oneAtATime() {
		// A flush lets the client write from the first record on. So it has to wait
		// until each record has its partition, which takes a while for an unknown
		// topic.
		p.partitioned.wait(func() bool { return p.partitioned.count.Load()-before+w.refused.Load() >= int64(n) })
		repeater := p.repeatFlush()
		_ = p.client.Flush(context.Background())
		repeater.end()
	}
	<-w.done
	return w.failures(records, seg)
}

// repeatFlush flushes repeatedly, at growing intervals, until it is ended. A flush does
// not reach a topic whose partitions the client is just learning:
//
//   - the client gives the waiting records their partitions
//   - when the last record has one, we flush: the topic has no partitions yet
//   - the client enters the partitions
//   - nothing writes the records
func (p *producer) repeatFlush() *flushRepeater {
	n := &flushRepeater{client: p.client, guard: p.conf.guard, wait: 10 * time.Millisecond}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.timer = time.AfterFunc(n.wait, n.flush)
	return n
}

type flushRepeater struct {
	client *kgo.Client
	guard  *crash.Guard

	mu    sync.Mutex
	timer *time.Timer
	wait  time.Duration
	ended bool
}

// flush triggers the client without waiting: the flush that waits is still running and
// keeps it writing.
func (n *flushRepeater) flush() {
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

// end returns when no flush is running, which would write an incomplete part.
func (n *flushRepeater) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
	n.timer.Stop()
}

// writing waits for the promises of one part.
type writing struct {
	guard       *crash.Guard
	hasDeadline bool // of record_delivery_timeout
	left        atomic.Int64
	refused     atomic.Int64
	done        chan struct{}
	progress    *atomic.Int64
	partitioned *partitioned

	mu     sync.Mutex
	failed map[*kgo.Record]error
}

func (w *writing) promise(r *kgo.Record, err error) {
	defer w.recordDone() // also after a panic, or the batch would never end
	defer w.guard.Catch("the output kafka_franz, when Kafka has answered for a record")
	if w.hasDeadline && errors.Is(err, context.DeadlineExceeded) {
		err = kgo.ErrRecordTimeout
	}
	if err != nil {
		w.mu.Lock()
		if w.failed == nil {
			w.failed = map[*kgo.Record]error{}
		}
		w.failed[r] = err
		w.mu.Unlock()
		w.refused.Add(1)
		w.partitioned.wake()
	} else {
		w.progress.Add(1)
	}
}

// recordDone counts a record that Kafka has answered for.
func (w *writing) recordDone() {
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

// partitioned counts the records that have their partition.
type partitioned struct {
	count  atomic.Int64
	waits  atomic.Bool
	notify chan struct{}
}

func newPartitioned() *partitioned { return &partitioned{notify: make(chan struct{}, 1)} }

// OnProduceRecordPartitioned implements kgo.HookProduceRecordPartitioned.
func (s *partitioned) OnProduceRecordPartitioned(*kgo.Record, int32) {
	s.count.Add(1)
	s.wake()
}

func (s *partitioned) wake() {
	if s.waits.Load() {
		select {
		case s.notify <- struct{}{}:
		default:
		}
	}
}

// wait returns when enough returns true. It sets the flag before it calls enough, so
// that an event after the call sends a notification.
func (s *partitioned) wait(enough func() bool) {
	s.waits.Store(true)
	for !enough() {
		<-s.notify
	}
	s.waits.Store(false)
}
