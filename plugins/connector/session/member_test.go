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
