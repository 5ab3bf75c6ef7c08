package session

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An update marks the sessions that it gives up before it is stored. A worker that reads
// its store then knows the mark while the connector still has the session.
func TestAMarkStaysWhileItsUpdateIsBeingStored(t *testing.T) {
	r := newRig(t)
	before, now := side("x", "f", r.broker.URL()), side("y", "f", r.broker.URL())
	r.create("a", before)
	mark, err := r.store.Mark(definitionOf("a"))
	require.NoError(t, err)
	r.Follow(r.store.Load)
	r.Settle("b", side("z", "f", r.broker.URL())) // that of another connector, meanwhile
	r.Settle("a", now)
	require.NoError(t, r.GiveUp(mark))
	r.Follow(r.store.Load)
	r.sweepsAll()
	assert.False(t, r.has("x"))
}

func TestAWorkerThatTakesAConnectorRemovesWhatAnotherOneGaveUp(t *testing.T) {
	r := newRig(t)
	before, now := side("x", "f", r.broker.URL()), side("y", "f", r.broker.URL())
	r.create("a", before)
	mine := false
	r.runs = func(string) bool { return mine }
	_, err := r.store.Mark(definitionOf("a"))
	require.NoError(t, err)
	r.Follow(r.store.Load)
	r.Settle("a", before) // the update is not stored yet
	r.Settle("a", now)
	mine = true // the other worker is gone
	r.sweepsAll()
	assert.False(t, r.has("x"))
}

// sweepsAll sweeps until the store has no mark any more.
func (r *rig) sweepsAll() {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	var sweeping sync.WaitGroup
	sweeping.Go(func() { r.Sweep(ctx) })
	assert.Eventually(r.t, func() bool { return len(r.contents().Released) == 0 }, patience, 10*time.Millisecond)
	stop()
	sweeping.Wait()
}
