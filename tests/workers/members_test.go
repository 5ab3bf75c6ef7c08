package workers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
)

func (w *worker) sharedDefinition(name string, members int, topic string) map[string]any {
	d := w.definition(name, name+"/#", topic)
	d["config"] = fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%q,"parallelism":%d}`, w.kafka.Addr(), topic, members)
	return d
}

// spreads reports whether the workers run equally many members, as far as that goes, and
// every member runs once.
func spreads(name string, members int, all ...*worker) bool {
	share := map[*worker]int{}
	for member := range members {
		n := 0
		for _, w := range all {
			if w.service.Runs(name, member) {
				n, share[w] = n+1, share[w]+1
			}
		}
		if n != 1 {
			return false
		}
	}
	return !slices.ContainsFunc(all, func(w *worker) bool { return share[w] < members/len(all) })
}

// detail is what a worker tells about a connector.
func (w *worker) detail(name string) (d admin.Detail) {
	data, err := w.call(http.MethodGet, detailPath(name), nil)
	if err == nil {
		_ = json.Unmarshal(data, &d) // then it is empty
	}
	return d
}

// spreadName is a connector with members on every worker, once they have their shares.
func spreadName(t *testing.T, members int, all ...*worker) (name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, w := range all {
			if w.service.Membership().Partitions < cluster.Partitions/len(all) {
				return false
			}
		}
		for i := range 1000 {
			if name = fmt.Sprintf("shared%d", i); spreads(name, members, all...) {
				return true
			}
		}
		return false
	}, patience, 100*time.Millisecond)
	return name
}

// spreadOut starts three workers, and a connector whose members they share equally.
func spreadOut(t *testing.T, r *rig, members int) (all []*worker, name string) {
	t.Helper()
	all = []*worker{r.worker(), r.worker(), r.worker()}
	name = spreadName(t, members, all...)
	all[0].done(admin.PathCreate, all[0].sharedDefinition(name, members, "out"))
	agree(t, "Running", []string{name}, all...)
	return all, name
}

func TestMembersRunOnAllWorkers(t *testing.T) {
	r := newRig(t)
	const members = 6
	all, name := spreadOut(t, r, members)
	c := r.client("publisher")
	sent := 0
	send := func() {
		for range 60 {
			publish(t, c, name+"/x", strconv.Itoa(sent))
			sent++
		}
	}
	send()
	r.payloads("out", sent)
	// Any worker tells about all members.
	for _, w := range all {
		require.Eventually(t, func() bool {
			d := w.detail(name)
			return d.SendSuccessTotal == int64(sent) && d.InFlight == 0 && d.State == "Running"
		}, patience, 100*time.Millisecond)
		for _, one := range w.service.Samples(w.sup.Samples()) {
			assert.Equal(t, int64(sent), one.Sent)
			assert.Equal(t, uint64(sent), one.Acknowledged)
			assert.Len(t, one.Members, members)
		}
		mine, ok := w.sup.MySample(name)
		require.True(t, ok)
		assert.NotZero(t, mine.Sent)
		assert.NotEqual(t, int64(sent), mine.Sent, "it is dealt out")
		_, err := w.call(http.MethodGet, admin.PathReadyConnectors, nil)
		require.NoError(t, err)
	}

	// Operations at any worker reach all members.
	all[1].done(admin.PathPause, named(name))
	require.Eventually(t, func() bool { return r.broker.Connected() == 1 }, patience, 50*time.Millisecond, "all have drained, and the publisher stays")
	agree(t, "Paused", []string{name}, all...)
	send() // what waits in the sessions
	all[2].done(admin.PathResume, named(name))
	agree(t, "Running", []string{name}, all...)
	for i, members := range []int{2, members} {
		all[i].done(admin.PathUpdate, all[0].sharedDefinition(name, members, "out"))
		send()
		agree(t, "Running", []string{name}, all...)
		require.Eventually(t, func() bool { return r.broker.Connected() == int64(members)+1 }, patience, 50*time.Millisecond)
		send()
	}
	all[0].done(admin.PathRestart, named(name))
	agree(t, "Running", []string{name}, all...)
	assert.Len(t, r.payloads("out", sent)[name+"/x"], sent)

	// One that does not answer.
	last := all[2]
	for _, w := range all {
		if !w.service.Runs(name, 0) {
			last = w
		}
	}
	last.end()
	require.NoError(t, <-last.served)
	last.served <- nil // for stop
	for _, w := range all {
		if w == last {
			continue
		}
		require.Eventually(t, func() bool { return w.detail(name).State == string(connector.Unknown) }, patience, 100*time.Millisecond)
		for path, body := range map[string]any{
			admin.PathUpdate: w.sharedDefinition(name, 1, "out"), admin.PathDelete: named(name), admin.PathPause: named(name), admin.PathRestart: named(name),
		} {
			var err error
			require.Eventually(t, func() bool {
				_, err = w.call(http.MethodPost, path, body)
				return err != nil && strings.Contains(err.Error(), "the worker "+last.url)
			}, patience, 100*time.Millisecond, "%s: %v", path, &err)
			require.ErrorContains(t, err, "nothing was changed: ")
			require.ErrorContains(t, err, "try again soon")
		}
	}
	require.Eventually(t, func() bool { return r.broker.Connected() == members+1 }, patience, 50*time.Millisecond, "they go on")
	last.stop()
	rest := []*worker{}
	for _, w := range all {
		if w != last {
			rest = append(rest, w)
		}
	}
	agree(t, "Running", []string{name}, rest...)
	rest[0].done(admin.PathDelete, named(name))
	for _, w := range rest {
		require.Eventually(t, func() bool { return len(w.rows()) == 0 }, patience, 50*time.Millisecond)
	}
	require.Eventually(t, func() bool { return r.broker.Connected() == 1 }, patience, 50*time.Millisecond)
	contents, err := rest[0].store.Load()
	require.NoError(t, err)
	assert.Empty(t, contents.Sessions)
	assert.Empty(t, contents.Released)
}

// As in TestNothingIsLostWhenWorkersComeAndGo, nothing is published while sessions move.
func TestMembersLoseNothingWhenWorkersComeAndGo(t *testing.T) {
	r := newRig(t)
	first, second := r.worker(), r.worker()
	const members = 5
	name := spreadName(t, members, first, second)
	first.done(admin.PathCreate, first.sharedDefinition(name, members, "out"))
	c := r.client("publisher")
	sent := 0
	settled := func(all ...*worker) {
		t.Helper()
		agree(t, "Running", []string{name}, all...)
		require.Eventually(t, func() bool {
			for member := range members {
				n := 0
				for _, w := range all {
					if w.service.Runs(name, member) {
						n++
					}
				}
				if n != 1 {
					return false
				}
			}
			return r.broker.Connected() == members+1
		}, patience, 100*time.Millisecond)
		for range 30 {
			publish(t, c, name+"/x", strconv.Itoa(sent))
			sent++
		}
	}
	settled(first, second)
	third := r.worker()
	settled(first, second, third)
	second.stop()
	settled(first, third)
	// One that Kafka does not hear of: the other one takes over, and it comes back.
	third.link.Cut()
	require.Eventually(t, func() bool {
		for member := range members {
			if !first.service.Runs(name, member) {
				return false
			}
		}
		return true
	}, patience, 100*time.Millisecond)
	third.link.Restore()
	settled(first, third)
	first.stop()
	settled(third)
	assert.Len(t, r.payloads("out", sent)[name+"/x"], sent)
}
