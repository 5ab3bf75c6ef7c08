package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

func TestASessionThatAConnectorCreatedIsRemovedWithIt(t *testing.T) {
	r := newRig(t)
	r.create("a", side("x", "f", r.broker.URL()))
	endpoint := EndpointOf(side("", "", r.broker.URL()).URLs[0])
	assert.Equal(t, []store.Session{{Endpoint: endpoint, ClientID: "x", Connector: "a", Made: true, Filters: []string{"f"}}}, r.contents().Sessions)
	assert.True(t, r.has("x"))
	assert.Equal(t, Remains{}, r.delete("a"))
	assert.False(t, r.has("x"))
	assert.Empty(t, r.contents().Sessions)
	assert.Empty(t, r.contents().Released)
}

func TestASessionThatExistedBeforeStays(t *testing.T) {
	r := newRig(t)
	theirs, _ := r.connect(r.broker.URL(), "theirs", false)
	require.True(t, theirs.Subscribe("theirs/#", 1, nil).WaitTimeout(patience))
	theirs.Disconnect(50)

	s := side("theirs", "f", r.broker.URL())
	r.create("a", s)
	r.restart()
	remains := r.delete("a")
	assert.Equal(t, Remains{Foreign: s.IDs()}, remains)
	assert.True(t, r.has("theirs"))
	assert.Empty(t, r.contents().Sessions)
	assert.Empty(t, r.contents().Released)
}

func TestNoSessionIsRemovedWhileItsClientIDIsUsed(t *testing.T) {
	r := newRig(t)
	r.create("a", side("x", "f", r.broker.URL()))
	// It may be another name of the same broker.
	require.NoError(t, r.Hold("b", side("x", "f", "tcp://other:1883")))
	remains := r.delete("a")
	require.Len(t, remains.Later, 1)
	assert.Contains(t, remains.Later[0], "a connector uses its client id, so the session might be that connector's")
	assert.True(t, r.has("x"))

	// It is removed when nobody uses the client id any more.
	ctx, stop := context.WithCancel(t.Context())
	var sweeping sync.WaitGroup
	sweeping.Go(func() { r.Sweep(ctx) })
	r.Settle("b")
	assert.Eventually(t, func() bool { return len(r.contents().Released) == 0 }, patience, 10*time.Millisecond)
	stop()
	sweeping.Wait()
	assert.False(t, r.has("x"))
}

// The rest of a deleted connector, left because its broker was unavailable, is removed
// before another connector joins the session.
func TestANewConnectorDoesNotInheritADeletedOnesMessages(t *testing.T) {
	r := newRig(t)
	s := side("x", "old", r.broker.URL())
	r.create("a", s)
	dial := r.dial
	r.dial = func(context.Context, *url.URL, *tls.Config) (net.Conn, error) { return nil, errors.New("away") }
	remains := r.delete("a")
	require.Len(t, remains.Later, 1)
	assert.Contains(t, remains.Later[0], "away")
	publish(t, r, "old", "of the deleted one")

	next := side("x", "new", r.broker.URL())
	r.sides["b"] = next
	require.NoError(t, r.Hold("b", next))
	require.NoError(t, r.store.Put(definitionOf("b")))
	r.restart() // killed before it was settled
	r.dial = func(context.Context, *url.URL, *tls.Config) (net.Conn, error) { return nil, errors.New("away") }
	_, err := r.join(next, next.URLs[0])
	require.ErrorContains(t, err, "removing the session of the connector that was deleted: ")
	assert.Empty(t, r.contents().Released, "the session has an owner again")

	r.dial = dial
	kept, err := r.join(next, next.URLs[0])
	require.NoError(t, err)
	assert.False(t, kept)
	kept, err = r.join(next, next.URLs[0])
	require.NoError(t, err)
	assert.True(t, kept, "it keeps its own session")
}

// A broker that accepts connections and never answers delays only its own sessions.
func TestASilentBrokerDoesNotDelayOtherRemovals(t *testing.T) {
	r := newRig(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	var marks []store.Released
	for i := range 10 {
		name := fmt.Sprint("silent", i)
		r.sides[name] = side(name, "f", "tcp://"+silent.Addr().String())
		require.NoError(t, r.Hold(name, r.sides[name]))
		require.NoError(t, r.Joined(r.sides[name].URLs[0], name, false))
		r.Settle(name)
		m, err := r.store.Mark(definitionOf(name))
		require.NoError(t, err)
		marks = append(marks, m)
	}
	r.create("z", side("z", "f", r.broker.URL()))
	m, err := r.store.Mark(definitionOf("z"))
	require.NoError(t, err)
	r.Settle("z")
	for _, m := range append(marks, m) {
		require.NoError(t, r.GiveUp(m))
	}
	ctx, stop := context.WithCancel(t.Context())
	var sweeping sync.WaitGroup
	sweeping.Go(func() { r.Sweep(ctx) })
	began := time.Now()
	assert.Eventually(t, func() bool { return len(r.contents().Released) == 10 }, patience, 10*time.Millisecond)
	assert.Less(t, time.Since(began), visitTimeout, "it has not waited for the silent one")
	assert.False(t, r.has("z"))
	stop()
	sweeping.Wait()
}
