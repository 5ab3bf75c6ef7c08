package kafka

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// idleFor lets the output see that it has been idle.
func idleFor(o *output, d time.Duration) {
	o.mu.Lock()
	o.rest.last = o.rest.last.Add(-d)
	o.mu.Unlock()
	o.whenIdle()
}

func isResting(o *output) bool {
	p, _, _ := o.state()
	return p == nil
}

func TestOutputClosesAClientThatHasNothingToWrite(t *testing.T) {
	c := cluster(t, 1)
	setLimit(t, c, "t", "70000")
	o := started(t, c.ListenAddrs(), block()...)
	idleFor(o, 0)
	require.False(t, isResting(o))
	idleFor(o, restUnused)
	require.True(t, isResting(o))
	idleFor(o, time.Hour) // nothing more to close

	asked := 0
	c.ControlKey(int16(kmsg.DescribeConfigs), func(kmsg.Request) (kmsg.Response, error, bool) {
		asked++
		c.KeepControl()
		return nil, nil, false
	})
	require.NoError(t, o.WriteBatch(t.Context(), messages(0, 100)))
	require.Equal(t, int32(70000), o.producer.topics.limit("t"), "the limit is still known")
	require.Zero(t, asked)
	require.NoError(t, o.WriteBatch(t.Context(), messages(100, 100)))

	// It has a producer id now, so it stays open for longer, and longer each time.
	for _, wait := range []time.Duration{restUsed, 2 * restUsed, 4 * restUsed, 8 * restUsed, restMost, restMost} {
		idleFor(o, wait-time.Minute)
		require.False(t, isResting(o), "%s", wait)
		idleFor(o, time.Minute)
		require.True(t, isResting(o), "%s", wait)
		require.NoError(t, o.WriteBatch(t.Context(), messages(0, 1)))
	}
}

func TestOutputDoesNotCloseTheClientOfAHeldBatch(t *testing.T) {
	c := cluster(t, 1)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed})
	o := started(t, c.ListenAddrs(), block()...)
	batch := messages(0, 10)
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	idleFor(o, 24*time.Hour)
	require.False(t, isResting(o))
	require.Equal(t, numbers(0, 10), func() []string {
		rewrite(t, o, batch)
		return values(t, c, "t")
	}())
}

func TestOutputWhoseClientRestsReportsAKafkaThatIsGone(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), block("request_timeout_overhead: 500ms", "timeout: 500ms")...)
	idleFor(o, restUnused)
	c.Close()
	require.ErrorIs(t, o.WriteBatch(t.Context(), messages(0, 10)), service.ErrNotConnected)
	require.Contains(t, reason(t, o), "connection refused")
	idleFor(o, 24*time.Hour)
	require.False(t, isResting(o), "the batch is held")
}

func TestOutputCanBeClosedWhileItsClientRests(t *testing.T) {
	o := started(t, cluster(t, 1).ListenAddrs())
	idleFor(o, restUnused)
	require.NoError(t, o.Close(t.Context()))
	require.ErrorIs(t, o.WriteBatch(t.Context(), messages(0, 1)), service.ErrNotConnected)
	require.ErrorIs(t, o.Connect(t.Context()), errClosed)
	idleFor(o, time.Hour)
}

// Clients are closed at any moment at which nobody uses them, and every record arrives
// once and in order.
func TestOutputLosesNothingWhereItsClientRestsAtOnce(t *testing.T) {
	for name, lines := range map[string][]string{"one at a time": block(), "in parallel": {"max_in_flight: 4"}} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, 1)
			o := started(t, c.ListenAddrs(), lines...)
			done := make(chan struct{})
			var idle sync.WaitGroup
			idle.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						idleFor(o, 24*time.Hour)
					}
				}
			})
			for i := range 100 {
				require.NoError(t, o.WriteBatch(t.Context(), messages(10*i, 10)))
			}
			close(done)
			idle.Wait()
			require.Equal(t, numbers(0, 1000), values(t, c, "t"))
		})
	}
}
