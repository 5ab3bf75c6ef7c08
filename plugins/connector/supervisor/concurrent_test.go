package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// 16 clients make 1,000 requests to 50 names concurrently. Each follows the rules, and
// at the end the store, the answers and the streams agree.
func TestManyClientsAtOnce(t *testing.T) {
	const names, clients, operations = 50, 16, 1000
	r := newRig(t, func(o *Options) { o.DrainTimeout = 500 * time.Millisecond })
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(client)))
			for range operations/clients + 1 {
				i := rng.IntN(names)
				name := fmt.Sprint("c", i)
				c := r.conn(name, fmt.Sprintf("in/%d/%d", i, rng.IntN(3)), fmt.Sprint("out", rng.IntN(5)), "")
				var err error
				switch rng.IntN(9) {
				case 0, 1, 2:
					_, err = r.Create(t.Context(), c, connector.CreateOptions{})
				case 3, 4:
					_, err = r.Update(t.Context(), c, connector.UpdateOptions{})
				case 5:
					_, err = r.Delete(t.Context(), name)
				case 6:
					err = r.Pause(t.Context(), name)
				case 7:
					err = r.Resume(t.Context(), name)
				case 8:
					r.List()
					_ = r.ConnectorsReady()
					_, _, err = r.Detail(name)
				}
				if err != nil && !errors.Is(err, connector.ErrExists) && !errors.Is(err, connector.ErrNotFound) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()

	stored, err := r.opts.Store.Load()
	require.NoError(t, err)
	assert.Empty(t, stored.Unreadable)
	listed := r.List()
	require.Len(t, listed, len(stored.Definitions))
	require.NotEmpty(t, listed)
	for i, d := range stored.Definitions {
		assert.Equal(t, d.Connector.Name, listed[i].Name)
		assert.Equal(t, d.Connector.TopicID, listed[i].TopicID)
		assert.JSONEq(t, string(d.Connector.Config), string(listed[i].Config))
		assert.Equal(t, paused(d), listed[i].State == connector.Paused)
	}
	require.Eventually(t, func() bool { return r.ConnectorsReady() == nil }, patience, 10*time.Millisecond)

	// The streams that run are those, with those filters and topics.
	before := map[string]int64{}
	for _, s := range listed {
		_, f, err := r.Detail(s.Name)
		require.NoError(t, err)
		before[s.Name] = f.Sent
	}
	for i := range names {
		for j := range 3 {
			r.publish(fmt.Sprintf("in/%d/%d", i, j), "x")
		}
	}
	for _, s := range listed {
		want := before[s.Name] + 1
		if s.State == connector.Paused {
			want--
		}
		assert.Eventually(t, func() bool {
			_, f, err := r.Detail(s.Name)
			return err == nil && f.Sent == want
		}, patience, 10*time.Millisecond, "%s: %s", s.Name, &described{r, s.Name})
	}

	r.stopService()
	r.start()
	again := r.List()
	require.Len(t, again, len(listed))
	for i := range again {
		assert.Equal(t, listed[i].Name, again[i].Name)
		assert.Equal(t, listed[i].TopicID, again[i].TopicID)
	}
}

// described formats the state of a connector when it is printed.
type described struct {
	r    *rig
	name string
}

func (d *described) String() string {
	status, figures, err := d.r.Detail(d.name)
	return fmt.Sprintf("%+v %+v %v", status, figures, err)
}
