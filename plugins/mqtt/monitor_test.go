package mqtt

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// watched counts the looks of the monitor of an input that has not connected yet. They
// see no connection while hidden is set.
func watched(in *input) (looks *atomic.Int64, hidden *atomic.Bool) {
	looks, hidden = new(atomic.Int64), new(atomic.Bool)
	current := in.monitor.current
	in.monitor.current = func() *session {
		looks.Add(1)
		if hidden.Load() {
			return nil
		}
		return current()
	}
	return looks, hidden
}

// untilResting waits until the monitor has not looked for some of its intervals.
func untilResting(t *testing.T, looks *atomic.Int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		before := looks.Load()
		time.Sleep(100 * time.Millisecond)
		return before > 0 && before == looks.Load()
	}, patience, time.Millisecond)
}

func TestMonitorRestsUntilAMessageArrives(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), v311+"stall_warning: 20ms")
	looks, _ := watched(in)
	done := background(in)
	p := b.joined(done, false, true)
	for n := 1; n <= 3; n++ {
		untilResting(t, looks)
		p.write(publish("a/slow", 1, uint16(n), "x"))
		_, acks := readN(t, in, 1)
		require.Eventually(t, func() bool { return len(l.Lines("a/slow")) == n }, patience, time.Millisecond)
		ackAll(t, acks, nil)
		require.Equal(t, ackOf(typePuback, uint16(n)), p.read().String())
	}
}

// Some brokers send messages before they grant the filters. The monitor then looks
// before the connection is in use, and rests.
func TestMonitorLooksAgainWhenAConnectionIsInUse(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), v311+"stall_warning: 20ms")
	looks, hidden := watched(in)
	hidden.Store(true)
	arrived := make(chan struct{})
	resume := in.conf.arrived
	in.conf.arrived = func() {
		resume()
		close(arrived)
	}
	done := background(in)
	p := b.accept()
	p.version()
	p.write([]byte{0x20, 2, 1, 0})
	p.read()
	in.mu.Lock() // the connection cannot become the current one
	unlock := sync.OnceFunc(in.mu.Unlock)
	t.Cleanup(unlock)
	p.write(publish("a/slow", 1, 1, "x"))
	wait(t, arrived)
	untilResting(t, looks)
	hidden.Store(false)
	unlock()
	require.NoError(t, wait(t, done))
	require.Eventually(t, func() bool { return len(l.Lines("a/slow")) == 1 }, patience, time.Millisecond)
	_, acks := readN(t, in, 1)
	ackAll(t, acks, nil)
}
