// Package latency measures how long messages take from their receipt to their
// acknowledgement.
package latency

import (
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Bounds are the upper bounds of a histogram. The long ones distinguish an outage of
// Kafka from a slow Kafka: messages of an outage are acknowledged when it is over.
var Bounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute,
	5 * time.Minute, 30 * time.Minute,
}

// Histogram counts messages by their latency. A nil histogram counts nothing.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64 // not cumulative; the last is above all bounds
	sum    atomic.Int64                   // nanoseconds
}

// Observe counts messages with the same latency.
func (h *Histogram) Observe(took time.Duration, messages int) {
	if h == nil || messages <= 0 {
		return
	}
	took = max(0, took)
	at := 0
	for at < len(Bounds) && took > Bounds[at] {
		at++
	}
	h.counts[at].Add(uint64(messages))
	h.sum.Add(int64(took) * int64(messages))
}

// Snapshot returns the number of messages so far, the sum of their latencies, and how
// many were at or below each bound, in seconds.
func (h *Histogram) Snapshot() (count uint64, sum time.Duration, below map[float64]uint64) {
	below = make(map[float64]uint64, len(Bounds))
	for i, bound := range Bounds {
		count += h.counts[i].Load()
		below[bound.Seconds()] = count
	}
	return count + h.counts[len(Bounds)].Load(), time.Duration(h.sum.Load()), below
}

type key struct{}

// Put sets the histogram of a stream. Call it before the stream runs.
func Put(r *service.Resources, h *Histogram) { r.SetGeneric(key{}, h) }

// Of returns the histogram of a component's stream, or nil.
func Of(r *service.Resources) *Histogram {
	h, _ := r.GetGeneric(key{})
	histogram, _ := h.(*Histogram)
	return histogram
}
