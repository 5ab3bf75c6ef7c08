package supervisor

import (
	"slices"
	"sync/atomic"
	"time"
)

// Upper bounds of histograms, in milliseconds.
var (
	ourBounds = []float64{1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000}
	// robustMQBounds are those of RobustMQ's dashboard: its
	// DEFAULT_REQUEST_DURATION_BUCKETS, powers of two.
	robustMQBounds = func() (bounds []float64) {
		for i := range 20 {
			bounds = append(bounds, float64(int(1)<<i))
		}
		return bounds
	}()
	// allBounds are what is counted: both, in order.
	allBounds = func() []float64 {
		bounds := slices.Concat(ourBounds, robustMQBounds)
		slices.Sort(bounds)
		return slices.Compact(bounds)
	}()
)

// histogram counts times by the least of allBounds that is not below them.
type histogram [33]atomic.Int64 // one more than allBounds

func (h *histogram) observe(milliseconds float64) {
	at, _ := slices.BinarySearch(allBounds, milliseconds)
	h[at].Add(1)
}

// timing is a histogram as Prometheus has it, by bounds in milliseconds.
type timing struct {
	count uint64
	sum   time.Duration
	below [len(histogram{})]uint64 // within each of allBounds or a lower one
}

// timer adds up the timers of a name.
func (f *figures) timer(name string) (t timing) {
	for _, s := range f.allSeries() {
		if s.name == name && s.kind == timerKind {
			t.add(s)
		}
	}
	return t
}

func (t *timing) add(s *series) {
	t.count += uint64(s.count.Load())
	t.sum += time.Duration(s.bits.Load())
	total := uint64(0)
	for i := range s.histogram {
		total += uint64(s.histogram[i].Load())
		t.below[i] += total
	}
}

func (t *timing) merge(other timing) {
	t.count += other.count
	t.sum += other.sum
	for i := range t.below {
		t.below[i] += other.below[i]
	}
}

// cumulative is how many times are within each bound, which is divided by the unit.
func (t *timing) cumulative(bounds []float64, unit float64) map[float64]uint64 {
	within := make(map[float64]uint64, len(bounds))
	for _, bound := range bounds {
		at, _ := slices.BinarySearch(allBounds, bound)
		within[bound/unit] = t.below[at]
	}
	return within
}
