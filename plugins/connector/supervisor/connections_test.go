package supervisor

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The answer of the engine may be older than the event that is counted, or the count
// may be older than the state. Neither may be kept.
func TestConnectionsKeepAnAnswerOnlyWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events atomic.Int64
		c := newConnections(false, &events)
		require.Empty(t, c.ends(), "not started")

		asked, state := 0, `{"statuses":[{"path":"input","connected":true},{"path":"output","connected":true}]}`
		c.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
			asked++
			_, _ = w.Write([]byte(state))
		})
		connected := []end{{c.needOf("input"), true, ""}, {c.needOf("output"), true, ""}}
		for range 3 {
			require.Equal(t, connected, c.ends())
		}
		require.Equal(t, 3, asked, "it has not settled")
		time.Sleep(settled)
		for range 3 {
			require.Equal(t, connected, c.ends())
		}
		require.Equal(t, 4, asked)

		events.Add(1) // the engine has not changed the state yet
		require.Equal(t, connected, c.ends())
		state = `{"statuses":[{"path":"input","connected":false,"error":"gone"},{"path":"output","connected":true}]}`
		require.False(t, c.ends()[0].connected)
		time.Sleep(settled)
		for range 3 {
			require.Equal(t, "gone", c.ends()[0].err)
		}
		require.Equal(t, 9, asked, "what is not connected is asked for each time")
	})
}
