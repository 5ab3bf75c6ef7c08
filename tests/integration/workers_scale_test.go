//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// owners waits until every worker has its share and each connector whose name begins
// with the prefix runs on one worker. It returns the addresses of these.
func (c *crew) owners(prefix string, n int) map[string]string {
	c.t.Helper()
	var owners map[string]string
	var last [1]string
	require.Eventually(c.t, func() bool {
		owners, last[0] = map[string]string{}, ""
		for _, w := range c.workers {
			_, metrics := w.Get("/metrics")
			if partitions(metrics) < cluster.Partitions/len(c.workers) {
				last[0] = w.HTTP + " does not have its share"
			}
			for _, name := range up(metrics) {
				if !strings.HasPrefix(name, prefix) {
					continue
				}
				if owners[name] != "" {
					last[0] = fmt.Sprintf("%s and %s run %s", owners[name], w.HTTP, name)
				}
				owners[name] = w.HTTP
			}
		}
		if last[0] == "" && len(owners) != n {
			last[0] = fmt.Sprintf("%d of %d connectors run", len(owners), n)
		}
		return last[0] == ""
	}, 2*time.Minute, 100*time.Millisecond, "%s", &last)
	return owners
}

// client creates, updates and deletes connectors of its own at any worker. It knows their
// filters: what it was told is what every worker must tell.
type client struct {
	t       *testing.T
	s       servers
	workers func() []serving
	rng     *rand.Rand
	name    string
	filters map[string]string
	unknown int // answers that did not tell the result
}

func (c *client) worker() serving {
	all := c.workers()
	return all[c.rng.IntN(len(all))]
}

// change makes one change. A worker that ends, or connectors that move, have it repeated.
func (c *client) change(n int) {
	name := fmt.Sprintf("%s-%d", c.name, c.rng.IntN(4))
	filter := fmt.Sprintf("%s/%d", name, n)
	path, want := admin.PathCreate, filter
	var body any = c.s.definition(name, filter, "scale-others")
	switch {
	case c.filters[name] != "" && c.rng.IntN(2) == 0:
		path, want, body = admin.PathDelete, "", admin.Name{Tenant: "default", ConnectorName: name}
	case c.filters[name] != "":
		path = admin.PathUpdate
	}
	for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(100 * time.Millisecond) {
		answer, err := c.worker().call(http.MethodPost, path, body)
		switch {
		case err == nil && answer.Code == admin.CodeOK:
			c.filters[name] = want
			return
		case err != nil || strings.Contains(*answer.Error, "the result is unknown"):
			c.unknown++
			if c.filters[name] = c.told(name); c.filters[name] == want {
				return
			}
		case !strings.Contains(*answer.Error, "try again"):
			c.t.Errorf("%s %s: %s", path, name, *answer.Error)
			return
		}
	}
	c.t.Errorf("%s %s: connectors move for too long", path, name)
}

// told asks any worker for the filter of a connector, "" if there is no such connector.
func (c *client) told(name string) string {
	for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(100 * time.Millisecond) {
		answer, err := c.worker().call(http.MethodGet, admin.PathDetail+"?tenant=default&connector_name="+name, nil)
		var d admin.Detail
		switch {
		case err != nil:
		case answer.Code == admin.CodeOK && json.Unmarshal(answer.Data, &d) == nil:
			return d.TopicName
		case strings.Contains(*answer.Error, "does not exist"):
			return ""
		}
	}
	c.t.Errorf("nobody tells whether %s exists", name)
	return ""
}

// Workers come and go under load while clients change connectors at any of them. No
// message is lost, what moves goes to a new worker or comes from one that ends, and all
// workers tell what the clients were told.
func TestWorkersComeAndGo(t *testing.T) {
	s := startOwnServers(t)
	connectors := times(12, 60)
	l := newLoad(t, s.servers, "scale", connectors)
	c := newCrew(t, s.servers, "scale", 1)
	for i := range connectors {
		c.do(0, admin.PathCreate, s.definition(fmt.Sprintf("scale-%d", i), fmt.Sprintf("scale/%d", i), l.name))
	}
	c.settled(connectors)
	takeovers := s.takeovers(t, "crew_default_scale-")
	l.start(t, times(600, 3000))

	var mu sync.Mutex
	live := slices.Clone(c.workers)
	workers := func() []serving {
		mu.Lock()
		defer mu.Unlock()
		return live
	}
	var clients []*client
	var changing sync.WaitGroup
	var changes atomic.Int64
	done := make(chan struct{})
	for i := range 4 {
		one := &client{t: t, s: s.servers, workers: workers, rng: rand.New(rand.NewPCG(13, uint64(i))), name: fmt.Sprintf("client%d", i), filters: map[string]string{}}
		clients = append(clients, one)
		changing.Go(func() {
			pause := time.NewTicker(time.Duration(times(400, 100)) * time.Millisecond)
			defer pause.Stop()
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				case <-pause.C:
					one.change(n)
					changes.Add(1)
				}
			}
		})
	}
	least := int64(times(40, 1000))
	owners := c.owners("scale-", connectors)
	for _, stage := range []int{3, 5, 2} {
		before := c.workers
		for len(c.workers) < stage {
			c.workers = append(slices.Clone(c.workers), c.start(program.FreeAddress(t)))
		}
		ending := c.workers[stage:]
		c.workers = c.workers[:stage]
		mu.Lock()
		live = slices.Clone(c.workers)
		mu.Unlock()
		for _, w := range ending {
			code, _ := w.Stop()
			assert.Zero(t, code, "%s", w.Output())
		}
		now := c.owners("scale-", connectors)
		moved := 0
		for name, owner := range now {
			if owner == owners[name] {
				continue
			}
			moved++
			is := func(address string) func(serving) bool {
				return func(w serving) bool { return w.HTTP == address }
			}
			came := !slices.ContainsFunc(before, is(owner))
			went := slices.ContainsFunc(ending, is(owners[name]))
			assert.True(t, came || went, "%s moved from %s to %s, and both stay", name, owners[name], owner)
		}
		t.Logf("%d -> %d workers: %d of %d connectors moved", len(before), stage, moved, connectors)
		owners = now
	}
	require.Eventually(t, func() bool { return changes.Load() >= least }, 5*time.Minute, 100*time.Millisecond)
	close(done)
	changing.Wait()

	want, unknown := map[string]string{}, 0
	for i := range connectors {
		want[fmt.Sprintf("scale-%d", i)] = fmt.Sprintf("scale/%d", i)
	}
	for _, one := range clients {
		unknown += one.unknown
		for name, filter := range one.filters {
			if filter != "" {
				want[name] = filter
			}
		}
	}
	c.settled(len(want))
	for _, w := range c.workers {
		assert.Equal(t, want, filtersOf(w.rows(t)), "%s", w.HTTP)
	}
	l.verdict(t, fmt.Sprintf("1, 3, 5 and 2 workers, %d changes, of which %d had no answer", changes.Load(), unknown))
	for id, n := range s.takeovers(t, "crew_default_scale-") {
		assert.Equal(t, takeovers[id], n, "%s was taken over while it was connected", id)
	}
}
