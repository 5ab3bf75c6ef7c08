package supervisor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// One goroutine is about to apply a change when another one asks for it.
func TestRefreshWaitsForAChangeThatIsBeingApplied(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2")
	w1, w2 := workers[0], workers[1]
	owners.give("c", "w2")
	w1.create(w1.conn("c", "t/#", "out", ""))
	w2.ready("c")
	unlock, err := w1.operations.lock(t.Context(), "c")
	require.NoError(t, err)
	require.NoError(t, w2.Pause(t.Context(), "c"))
	w1.apply()
	refreshed := make(chan error, 1)
	go func() { refreshed <- w1.Refresh(t.Context()) }()
	require.Never(t, func() bool { return len(refreshed) > 0 }, 50*time.Millisecond, time.Millisecond)
	unlock()
	require.NoError(t, <-refreshed)
	status, _, err := w1.Detail("c")
	require.NoError(t, err)
	assert.Equal(t, connector.Paused, status.State)
}
