package console

import (
	"slices"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// The history of the last hour has a point each ten seconds, and fewer where there are
// so many connectors that all points would take more memory than historyBytes.
const (
	leastStep    = 10 * time.Second
	kept         = time.Hour
	historyBytes = 40 << 20
	pointBytes   = 32
	pointsGrow   = 32
	freshFor     = time.Second // one list of samples serves all who look
)

// point is what one connector did between two samples. Rates are per second.
type point struct {
	in, out, refused, latency, inFlight, oldest float32
	state                                       byte // an index of states, from 1; 0 is no point
}

var states = []connector.State{connector.Running, connector.Waiting, connector.Failed, connector.Paused}

// track is the history of one connector. Its points are those of the newest times.
type track struct {
	points []point
	last   connector.Sample
	at     time.Time // of last
	seen   bool
}

// history keeps what connectors did.
type history struct {
	samples func() []connector.Sample

	asking sync.Mutex // one asks, the others wait for what it gets
	fresh  []connector.Sample
	asked  time.Time

	mu     sync.Mutex
	step   time.Duration
	times  []time.Time
	taken  time.Time
	tracks map[string]*track
}

func newHistory(samples func() []connector.Sample) *history {
	return &history{samples: samples, step: leastStep, tracks: make(map[string]*track)}
}

// now is how all connectors stand, by name.
func (h *history) now() []connector.Sample {
	h.asking.Lock()
	defer h.asking.Unlock()
	if time.Since(h.asked) >= freshFor {
		h.fresh, h.asked = h.samples(), time.Now()
	}
	return h.fresh
}

// forget lets the next who asks get new samples.
func (h *history) forget() {
	h.asking.Lock()
	defer h.asking.Unlock()
	h.asked = time.Time{}
}

// addPoints adds a point to each connector, unless it is too early.
func (h *history) addPoints(now time.Time) {
	h.mu.Lock()
	early := !h.taken.IsZero() && now.Sub(h.taken) < h.step-leastStep/2
	h.mu.Unlock()
	if early {
		return
	}
	all := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fitLocked(len(all))
	old := 0
	for old < len(h.times) && now.Sub(h.times[old]) >= kept {
		old++
	}
	h.times = append(slices.Delete(h.times, 0, old), now)
	h.taken = now
	for _, t := range h.tracks {
		t.seen = false
	}
	for _, s := range all {
		t := h.tracks[s.Name]
		if t == nil {
			t = &track{}
			h.tracks[s.Name] = t
		} else if s.State == connector.Unknown {
			// What it has done is known when its worker answers again.
			t.add(point{}, len(h.times))
			t.seen = true
			continue
		} else {
			t.add(between(t.last, s, now.Sub(t.at).Seconds()), len(h.times))
		}
		s.Waits, s.Reason, s.LastError = nil, "", "" // not to be kept twice
		t.last, t.at, t.seen = s, now, true
	}
	for name, t := range h.tracks {
		if !t.seen {
			delete(h.tracks, name)
		}
	}
}

// add appends a point. It drops the oldest, so that no more are left than there are times.
func (t *track) add(p point, times int) {
	if len(t.points) >= times {
		t.points = slices.Delete(t.points, 0, len(t.points)-times+1)
	}
	if len(t.points) == cap(t.points) {
		// append would double it, and most of it would stay empty.
		t.points = append(make([]point, 0, len(t.points)+pointsGrow), t.points...)
	}
	t.points = append(t.points, p)
}

// fitLocked makes the history of n connectors fit into its memory.
func (h *history) fitLocked(n int) {
	most := max(1, historyBytes/pointBytes/max(1, n)-pointsGrow)
	step := leastStep
	for int(kept/step) > most && step < kept {
		step *= 2
	}
	for ; h.step < step; h.step *= 2 {
		h.times = odd(h.times)
		for _, t := range h.tracks {
			t.points = slices.Clip(odd(t.points))
		}
	}
	h.step = step
}

// odd leaves every second element out, never the newest.
func odd[T any](all []T) []T {
	var rest []T
	for i := (len(all) + 1) % 2; i < len(all); i += 2 {
		rest = append(rest, all[i])
	}
	return rest
}

func between(before, after connector.Sample, seconds float64) point {
	rate := func(from, to int64) float32 {
		if to < from {
			from = 0 // another connector of that name
		}
		return float32(float64(to-from) / seconds)
	}
	p := point{
		in: rate(before.Received, after.Received), out: rate(before.Sent, after.Sent), refused: rate(before.Failed, after.Failed),
		inFlight: float32(after.InFlight), oldest: float32(after.OldestUnacked.Seconds()),
		state: byte(slices.Index(states, after.State) + 1),
	}
	if after.Acknowledged > before.Acknowledged {
		p.latency = float32((after.Latency - before.Latency).Seconds() / float64(after.Acknowledged-before.Acknowledged))
	}
	return p
}

// recent is the history of one connector, the oldest point first, and its last rates.
func (h *history) recent(name string) (times []time.Time, points []point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tracks[name]
	if t == nil {
		return nil, nil
	}
	points = slices.Clone(t.points)
	return slices.Clone(h.times[max(0, len(h.times)-len(points)):]), points
}

// lasts are the newest points of all connectors.
func (h *history) lasts() map[string]point {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]point, len(h.tracks))
	for name, t := range h.tracks {
		if n := len(t.points); n > 0 {
			all[name] = t.points[n-1]
		}
	}
	return all
}
