// Package tail shows the messages of a stream to whoever looks at it.
//
// A stream offers its batches to a Feed. While nobody looks, that is one atomic load a
// batch. With the first reader the feed begins to keep the newest messages, and it goes
// on for a grace time after the last one, so that whoever comes back misses nothing.
//
// Nothing here waits for a reader. A feed shows so many messages a second and counts the
// rest. A reader that is too slow misses messages, and is told how many.
package tail

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
)

const (
	// PerSecond is how many messages of a stream are shown in a second.
	PerSecond = 20
	// MaxLast is how many messages a feed keeps for those who come.
	MaxLast = 50
	// MaxReaders bounds the readers of all feeds of a process.
	MaxReaders = 32
	// MaxReadersEach bounds the readers of one feed.
	MaxReadersEach = 8
	// Grace is how long a feed goes on after its last reader has left.
	Grace = time.Minute

	queued  = 64 // messages that wait for a reader
	maxLive = MaxReaders
)

// ErrTooMany is wrapped by the error of Open where a bound is reached.
var ErrTooMany = errors.New("too many tails are open")

// Message is one message of a stream, with what became of it.
type Message struct {
	Received   time.Time
	Latency    time.Duration // from its receipt to the answer of Kafka
	Topic      string        // of MQTT
	QoS        int
	Retain     bool
	Payload    excerpt.Excerpt
	KafkaTopic string
	Key        excerpt.Excerpt
	Value      excerpt.Excerpt // of the record
	Partition  int32           // -1 where it is not known
	Offset     int64           // the same
	Outcome    string          // sent, discarded, dead_lettered or rejected
	Reason     string          // why it was not sent

	// LeftOut is how many messages before this one were not shown because there were
	// more than PerSecond, and Dropped how many because the reader was too slow.
	LeftOut, Dropped int64
}

// Rate lets PerSecond messages pass in a second, and as many at once.
type Rate struct {
	credit  float64   // how many messages may pass now
	counted time.Time // when credit was right, zero before the first message
}

// Pass reports whether one more message may pass.
func (r *Rate) Pass(now time.Time) bool {
	if r.counted.IsZero() {
		r.credit = PerSecond
	} else {
		r.credit = min(PerSecond, r.credit+now.Sub(r.counted).Seconds()*PerSecond)
	}
	r.counted = now
	if r.credit < 1 {
		return false
	}
	r.credit--
	return true
}

// Hub bounds the feeds of a process.
type Hub struct {
	mu      sync.Mutex
	readers int
	live    []*Feed // those that are watched, the one without readers for longest first
}

// Feed is what one stream shows. A nil feed is watched by nobody.
type Feed struct {
	hub     *Hub
	watched atomic.Bool

	mu      sync.Mutex
	readers []*Reader
	grace   *time.Timer // runs while the feed is watched without readers
	kept    []Message   // the newest at the end
	leftOut int64       // since the newest
	rate    Rate
	ended   string // why there is nothing more to come, "" before
}

// Reader is somebody who looks.
type Reader struct {
	feed *Feed

	// Messages has what is shown. It is closed when the feed has ended or Close was
	// called.
	Messages <-chan Message

	// Under the mutex of the feed.
	queue            chan Message
	closed           bool
	leftOut, dropped int64 // since the last message in queue
}

type key struct{}

// Put makes f the feed of a stream, before it runs.
func Put(r *service.Resources, f *Feed) { r.SetGeneric(key{}, f) }

// Of returns the feed of a component's stream, nil where there is none.
func Of(r *service.Resources) *Feed {
	f, _ := r.GetGeneric(key{})
	feed, _ := f.(*Feed)
	return feed
}

// NewFeed makes a feed that nobody watches.
func (h *Hub) NewFeed() *Feed { return &Feed{hub: h} }

// Open begins to look at a feed. The reader first gets the last messages that the feed
// has kept.
func (f *Feed) Open(last int) (*Reader, error) {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	if f.hub.readers >= MaxReaders {
		return nil, fmt.Errorf("%w: the service has %d at once; close one of them", ErrTooMany, MaxReaders)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended != "":
		return nil, errors.New(f.ended)
	case len(f.readers) >= MaxReadersEach:
		return nil, fmt.Errorf("%w: a connector has %d at once; close one of them", ErrTooMany, MaxReadersEach)
	}
	r := &Reader{feed: f, queue: make(chan Message, max(queued, MaxLast))}
	r.Messages = r.queue
	for _, m := range f.kept[max(0, len(f.kept)-max(0, last)):] {
		r.queue <- m // there is room for all that is kept
	}
	f.readers = append(f.readers, r)
	f.hub.readers++
	f.hub.watchLocked(f)
	return r, nil
}

// watchLocked makes f the feed that was looked at last. A feed that nobody looks at any
// more gives way where there are too many.
func (h *Hub) watchLocked(f *Feed) {
	h.removeLocked(f)
	h.live = append(h.live, f)
	if f.grace != nil {
		f.grace.Stop()
		f.grace = nil
	}
	f.watched.Store(true)
	if len(h.live) <= maxLive {
		return
	}
	for _, old := range h.live {
		if old != f && old.forget() {
			h.removeLocked(old)
			return
		}
	}
}

func (h *Hub) removeLocked(f *Feed) {
	for i, other := range h.live {
		if other == f {
			h.live = append(h.live[:i:i], h.live[i+1:]...)
			return
		}
	}
}

// forget stops watching, unless somebody looks.
func (f *Feed) forget() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.readers) > 0 {
		return false
	}
	f.watched.Store(false)
	f.kept, f.leftOut, f.rate = nil, 0, Rate{}
	if f.grace != nil {
		f.grace.Stop()
		f.grace = nil
	}
	return true
}

// expire ends the grace time.
func (f *Feed) expire() {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	if f.forget() {
		f.hub.removeLocked(f)
	}
}

// Close ends looking. It may be called twice.
func (r *Reader) Close() {
	f := r.feed
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeLocked(r)
}

// closeLocked is called under the mutexes of the hub and of the feed.
func (f *Feed) closeLocked(r *Reader) {
	if r.closed {
		return
	}
	r.closed = true
	close(r.queue)
	f.hub.readers--
	for i, other := range f.readers {
		if other == r {
			f.readers = append(f.readers[:i:i], f.readers[i+1:]...)
			break
		}
	}
	if len(f.readers) == 0 {
		f.grace = time.AfterFunc(Grace, f.expire)
	}
}

// End closes every reader for good, after what waits for it. The reason is what Ended
// returns from then on.
func (f *Feed) End(reason string) {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	f.mu.Lock()
	f.ended = reason
	for _, r := range append([]*Reader(nil), f.readers...) {
		f.closeLocked(r)
	}
	f.mu.Unlock()
	f.forget()
	f.hub.removeLocked(f)
}

// Ended is why the feed has ended, "" before.
func (r *Reader) Ended() string {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	return r.feed.ended
}

// Missed returns what was left out or dropped since the last message, once no message
// waits that would tell it. It is told once.
func (r *Reader) Missed() (leftOut, dropped int64) {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	if len(r.queue) > 0 {
		return 0, 0
	}
	leftOut, dropped = r.leftOut, r.dropped
	r.leftOut, r.dropped = 0, 0
	return leftOut, dropped
}

// Newest is the last message that was shown, while the feed is watched.
func (f *Feed) Newest() (Message, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept) == 0 {
		return Message{}, false
	}
	return f.kept[len(f.kept)-1], true
}

// Watched tells whether Offer does anything. It is what a stream asks for each batch.
func (f *Feed) Watched() bool { return f != nil && f.watched.Load() }

// Offer takes a batch of n messages. It calls show for those that are shown, which must
// copy what it returns.
func (f *Feed) Offer(n int, show func(i int) Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.watched.Load() {
		return
	}
	now := time.Now()
	for i := range n {
		if !f.rate.Pass(now) {
			f.leaveOutLocked(int64(n - i))
			return
		}
		f.showLocked(show(i))
	}
}

func (f *Feed) leaveOutLocked(n int64) {
	f.leftOut += n
	for _, r := range f.readers {
		r.leftOut += n
	}
}

func (f *Feed) showLocked(m Message) {
	for _, r := range f.readers {
		mine := m
		mine.LeftOut, mine.Dropped = r.leftOut, r.dropped
		select {
		case r.queue <- mine:
			r.leftOut, r.dropped = 0, 0
		default:
			r.dropped++
		}
	}
	m.LeftOut = f.leftOut
	f.leftOut = 0
	if len(f.kept) == MaxLast {
		copy(f.kept, f.kept[1:])
		f.kept = f.kept[:MaxLast-1]
	}
	f.kept = append(f.kept, m)
}
