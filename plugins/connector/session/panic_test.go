package session

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// panickyBook is a store that panics.
type panickyBook struct {
	*store.Dir
	inDrop, inForget bool
}

func (b panickyBook) DropSession(endpoint, clientID string) error {
	if b.inDrop {
		panic("dropping hush-hush")
	}
	return b.Dir.DropSession(endpoint, clientID)
}

func (b panickyBook) Forget(r store.Released) error {
	if b.inForget {
		panic("forgetting")
	}
	return b.Dir.Forget(r)
}

// A panic while sessions are removed is logged, and the removal is retried: neither the
// process nor the removal of other sessions ends.
func TestAPanicInARemovalIsLoggedAndTheRemovalTriedAgain(t *testing.T) {
	r := newRig(t)
	s := side("x", "f", r.broker.URL())
	s.Password = "hush-hush"
	r.create("a", s)
	dial := r.dial
	r.dial = func(context.Context, *url.URL, *tls.Config) (net.Conn, error) { panic("dialling") }
	remains := r.delete("a")
	require.Len(t, remains.Later, 1)
	assert.Contains(t, remains.Later[0], "a panic in the dialer: dialling")
	assert.Len(t, r.contents().Released, 1)

	r.dial, r.book = dial, panickyBook{Dir: r.store, inDrop: true}
	sweep(t, r, func() {
		require.Eventually(t, func() bool {
			return strings.Contains(r.logs.String(), "a panic in the removal of a session: dropping ***")
		}, patience, 10*time.Millisecond, "%s", r.logs)
	})
	assert.Len(t, r.contents().Released, 1)
	r.book = panickyBook{Dir: r.store, inForget: true}
	sweep(t, r, func() {
		require.Eventually(t, func() bool {
			return strings.Contains(r.logs.String(), "a panic in the removal of a session: forgetting")
		}, patience, 10*time.Millisecond, "%s", r.logs)
	})

	r.book = r.store
	r.restart()
	sweep(t, r, func() {
		require.Eventually(t, func() bool { return len(r.contents().Released) == 0 }, patience, 10*time.Millisecond)
	})
	assert.False(t, r.has("x"))
	assert.NotContains(t, r.logs.String(), "hush-hush")
	assert.Contains(t, r.logs.String(), "panic_test.go", "the log has the stack")
}

// sweep removes remaining sessions while it waits for something.
func sweep(t *testing.T, r *rig, until func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var sweeping sync.WaitGroup
	sweeping.Go(func() { r.Sweep(ctx) })
	defer sweeping.Wait()
	defer stop()
	until()
}
