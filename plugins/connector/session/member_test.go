package session

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The worker that runs the member is asked, and the first member reads what is handed over.
func TestTheMemberWhoseSessionItIsIsConfirmed(t *testing.T) {
	r := newRig(t)
	u, err := url.Parse(r.broker.URL())
	require.NoError(t, err)
	side := func(member int, id string) Side {
		return Side{Member: member, URLs: []*url.URL{u}, ClientID: id, Filter: "a/#", QoS: 1}
	}
	handedOver := side(2, "third")
	handedOver.Pending = true
	r.Settle("c", side(0, "first"), side(1, "second"), side(2, "third"), handedOver)
	var asked []int
	refusal := errors.New("another worker runs it")
	r.confirm = func(_ context.Context, name string, member int) error {
		assert.Equal(t, "c", name)
		asked = append(asked, member)
		return refusal
	}
	for _, id := range []string{"first", "second", "third"} {
		require.ErrorIs(t, r.Enter(t.Context(), u, id, false), refusal)
	}
	assert.Equal(t, []int{0, 1, 0}, asked)
	assert.False(t, r.has("second"), "nothing was done at the broker")
	r.Settle("c", side(0, "first"), side(1, "second"), side(2, "third"))
	require.ErrorIs(t, r.Enter(t.Context(), u, "third", false), refusal)
	assert.Equal(t, []int{0, 1, 0, 2}, asked)
}

// A worker that has deleted a connector disconnected a member of the next one of that name:
// it removed the session which that member had joined on another worker.
func TestTheSessionOfAMemberThatAnotherWorkerRemovesIsNotTaken(t *testing.T) {
	r := newRig(t)
	u, err := url.Parse(r.broker.URL())
	require.NoError(t, err)
	side := func(member int, id string) Side {
		return Side{Member: member, URLs: []*url.URL{u}, ClientID: id, Filter: "a/#", QoS: 1}
	}
	first, second := side(0, "first"), side(1, "second")
	runs := false // this worker removes what the connector leaves
	r.others, r.runs = true, func(string) bool { return runs }
	r.sides["c"] = second
	released, err := r.store.Mark(definitionOf("c"))
	require.NoError(t, err)
	follow := func() { r.Follow(r.store.Load) }
	follow()
	require.NoError(t, r.Hold("c", first))
	require.ErrorContains(t, r.Hold("c", first, second), `another worker removes the session "second"`)
	require.NoError(t, r.store.Forget(released))
	follow()
	require.NoError(t, r.Hold("c", first, second))
	r.Restore("c")

	// It is this worker that does.
	runs = true
	_, done, err := r.beginClearing(t.Context(), ID{EndpointOf(u), "second"}, second)
	require.NoError(t, err)
	require.Nil(t, done, "nobody has joined it")
	require.NoError(t, r.Hold("d", second))
	require.NoError(t, r.Joined(u, "second", false))
	r.Restore("d")
	_, done, err = r.beginClearing(t.Context(), ID{EndpointOf(u), "second"}, second)
	require.NoError(t, err)
	require.NotNil(t, done)
	require.EqualError(t, r.Hold("c", first, second), `the session "second" at `+EndpointOf(u)+`, which was that of a deleted connector, is being removed: try again soon`)
	require.NoError(t, r.Hold("c", side(0, "second")), "the first member waits for it")
	r.Restore("c")
	r.others = false
	require.NoError(t, r.Hold("c", first, second), "without other workers, all members wait for it")
	r.Restore("c")
	r.others = true
	done()
	require.NoError(t, r.Hold("c", first, second))
}
