package console

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// many are connectors that have done more with each look.
func many(n int, count *int64) func() []connector.Sample {
	return func() []connector.Sample {
		all := make([]connector.Sample, n)
		for i := range all {
			all[i].Name, all[i].State = fmt.Sprintf("c%05d", i), connector.Running
			all[i].Received, all[i].Sent = *count*20, *count*10
			all[i].Acknowledged, all[i].Latency = uint64(*count*10), time.Duration(*count)*50*time.Millisecond
			all[i].InFlight, all[i].OldestUnacked = 3, 2*time.Second
		}
		return all
	}
}

// pass lets an hour and more go by.
func pass(h *history, count *int64, from time.Time, steps int) time.Time {
	for range steps {
		from = from.Add(leastStep)
		*count += 10
		h.asked = time.Time{}
		h.addPoints(from)
	}
	return from
}

func TestTheHistoryHasRatesOfTheLastHour(t *testing.T) {
	var count int64
	h := newHistory(many(2, &count))
	now := pass(h, &count, time.Unix(1e9, 0), 500)
	times, points := h.recent("c00001")
	require.Len(t, points, 360)
	require.Len(t, times, 360)
	assert.Equal(t, now, times[359])
	assert.Equal(t, now.Add(-kept+leastStep), times[0])
	for _, p := range points {
		assert.InDelta(t, 20, p.in, 1e-3)
		assert.InDelta(t, 10, p.out, 1e-3)
		assert.InDelta(t, 0.005, p.latency, 1e-6)
		assert.InDelta(t, 3, p.inFlight, 0)
		assert.InDelta(t, 2, p.oldest, 0)
		assert.Zero(t, p.refused)
		assert.Equal(t, connector.Running, states[p.state-1])
	}
	_, none := h.recent("nobody")
	assert.Empty(t, none)
}

func TestAConnectorThatIsCreatedAnewHasNoNegativeRate(t *testing.T) {
	count := int64(1000)
	h := newHistory(many(1, &count))
	now := pass(h, &count, time.Unix(1e9, 0), 3)
	count = 0
	pass(h, &count, now, 1)
	_, points := h.recent("c00000")
	require.NotEmpty(t, points)
	assert.InDelta(t, 20, points[len(points)-1].in, 1e-3)
}

func TestAConnectorThatIsGoneTakesItsHistoryAlong(t *testing.T) {
	var count int64
	n := 3
	h := newHistory(func() []connector.Sample { return many(n, &count)() })
	now := pass(h, &count, time.Unix(1e9, 0), 3)
	n = 1
	pass(h, &count, now, 1)
	assert.Len(t, h.tracks, 1)
}

func TestTheHistoryOfAnyNumberOfConnectorsTakesLessThan64MB(t *testing.T) {
	for _, n := range []int{100, 5000, 12000} {
		var count int64
		h := newHistory(many(n, &count))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		steps := 380
		if n > 5000 {
			steps = 130 // it is coarser: fewer of them fill it
		}
		pass(h, &count, time.Unix(1e9, 0), steps)
		h.fresh = nil
		runtime.GC()
		runtime.ReadMemStats(&after)
		took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		t.Logf("%d connectors: %d MB, a point each %s", n, took>>20, h.step)
		assert.Less(t, took, int64(64<<20), "%d connectors", n)
		_, points := h.recent("c00000")
		assert.GreaterOrEqual(t, len(points), 15)
		runtime.KeepAlive(h)
	}
}

func TestWithMoreConnectorsTheHistoryGetsCoarserAndKeepsTheHour(t *testing.T) {
	var count int64
	n := 10
	h := newHistory(func() []connector.Sample { return many(n, &count)() })
	now := pass(h, &count, time.Unix(1e9, 0), 300)
	n = 12000
	now = pass(h, &count, now, 1)
	times, points := h.recent("c00000")
	assert.Greater(t, h.step, leastStep)
	require.Len(t, times, len(points))
	assert.InDelta(t, float64(50*time.Minute), float64(now.Sub(times[0])), float64(2*time.Minute))
	for i := 1; i < len(times); i++ {
		assert.True(t, times[i].After(times[i-1]))
	}
	n = 10
	pass(h, &count, now, 10)
	assert.Equal(t, leastStep, h.step)
}

func TestOneListOfSamplesServesAllWhoLook(t *testing.T) {
	asked := 0
	h := newHistory(func() []connector.Sample { asked++; return nil })
	h.now()
	h.now()
	assert.Equal(t, 1, asked)
	h.forget()
	h.now()
	assert.Equal(t, 2, asked)
}

// A connector of a worker that does not answer has done nothing meanwhile, and a thousand
// messages at once when it answered again.
func TestAConnectorThatIsUnknownHasNoPoint(t *testing.T) {
	one := connector.Sample{Status: connector.Status{Name: "c", State: connector.Running}}
	h := newHistory(func() []connector.Sample { return []connector.Sample{one} })
	now := time.Unix(1e9, 0)
	take := func(sent int64, state connector.State) {
		one.Sent, one.State = sent, state
		now = now.Add(leastStep)
		h.forget()
		h.addPoints(now)
	}
	take(1000, connector.Running)
	take(1010, connector.Running)
	take(0, connector.Unknown)
	take(0, connector.Unknown)
	take(1040, connector.Running)
	times, points := h.recent("c")
	require.Len(t, points, 4)
	require.Len(t, times, 4)
	for i, is := range []point{{out: 1, state: 1}, {}, {}, {out: 1, state: 1}} {
		assert.Equal(t, is, points[i], i)
	}
}

func TestStaysAreTheStatesOfTheLastHour(t *testing.T) {
	now := time.Unix(1e9, 0)
	var times []time.Time
	var points []point
	for i, state := range []byte{1, 1, 3, 3, 0, 1} {
		times = append(times, now.Add(time.Duration(i-6)*time.Minute))
		points = append(points, point{state: state})
	}
	all := stays(now, times, points)
	require.Len(t, all, 3)
	assert.Equal(t, []connector.State{connector.Running, connector.Failed, connector.Running}, []connector.State{all[0].State, all[1].State, all[2].State})
	assert.Equal(t, 2*time.Minute, all[0].To.Sub(all[0].From))
	assert.Equal(t, "540.0", all[0].X)
	assert.Equal(t, "20.0", all[0].Wide)
	assert.True(t, all[2].Now)
}

func TestALineStaysInItsBox(t *testing.T) {
	now := time.Unix(1e9, 0)
	times := []time.Time{now.Add(-kept), now.Add(-kept / 2), now.Add(-kept / 4), now}
	assert.Equal(t, "M0.0 119.0M300.0 60.0M450.0 1.0M600.0 119.0", line(now, times, []float64{0, 5, 10, 0}, 10, 600, 120), "after a gap it begins anew")
	near := []time.Time{now.Add(-2 * time.Minute), now.Add(-time.Minute), now}
	assert.Equal(t, "M580.0 119.0L590.0 119.0L600.0 119.0", line(now, near, []float64{0, 0, 0}, 0, 600, 120))
}
