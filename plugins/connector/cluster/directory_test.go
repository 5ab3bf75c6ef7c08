package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestTheLastWorkersAreKnownWhileTheCoordinatorIsAway(t *testing.T) {
	answers := make(chan error)
	d := directory{describe: func(context.Context) (kadm.DescribedGroup, error) {
		return kadm.DescribedGroup{State: "Stable", Members: []kadm.DescribedGroupMember{{MemberID: "1", ClientID: "http://a:1"}}}, <-answers
	}}
	_, err := d.refreshed(ended())
	require.ErrorIs(t, err, context.Canceled, "nothing is known yet")
	answers <- nil
	first, err := d.refreshed(t.Context())
	require.NoError(t, err)
	require.Len(t, first, 1)
	d.expire()
	// It waits for the coordinator, and no longer than it may.
	again, err := d.refreshed(ended())
	require.NoError(t, err)
	assert.Equal(t, first, again)
	answers <- errors.New("it is away")
	require.Eventually(t, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.err != nil
	}, patience, time.Millisecond)
	// Then it does not wait at all, though nobody answers.
	again, err = d.refreshed(t.Context())
	require.NoError(t, err)
	assert.Equal(t, first, again)
	answers <- nil
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
