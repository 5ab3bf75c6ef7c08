package cluster

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAHeartbeatIsSharedByThoseWhoAskedBeforeIt(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	answer, started := make(chan error), make(chan struct{}, 10)
	h := heartbeats{ask: func(context.Context) error {
		mu.Lock()
		asked++
		mu.Unlock()
		started <- struct{}{}
		return <-answer
	}}
	results := make(chan error, 101)
	go func() { results <- h.confirmed(t.Context()) }()
	<-started
	// These come while it is under way, so the next one answers them.
	for range 100 {
		go func() { results <- h.confirmed(t.Context()) }()
	}
	require.Eventually(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.next != nil }, patience, time.Millisecond)
	answer <- nil
	require.NoError(t, <-results)
	// Who is late starts another one.
	var last error
	for got := 0; got < 100; {
		select {
		case <-started:
		case answer <- ErrNotOwner:
		case last = <-results:
			got++
			require.ErrorIs(t, last, ErrNotOwner)
		}
	}
}

func TestWhoNoLongerWaitsForAHeartbeatIsLetGo(t *testing.T) {
	answer, ended := make(chan struct{}), make(chan struct{})
	h := heartbeats{ask: func(context.Context) error {
		defer close(ended)
		<-answer
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, h.confirmed(ctx), context.Canceled)
	close(answer)
	<-ended
}
