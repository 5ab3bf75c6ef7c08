package workers_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
)

// The console and /ready/connectors told about the connectors of the worker that was asked.
func TestAnyWorkerTellsAboutAllConnectors(t *testing.T) {
	r := newRig(t)
	first, second := r.worker(), r.worker()
	require.Eventually(t, func() bool {
		return first.service.Membership().Partitions == cluster.Partitions/2 && second.service.Membership().Partitions == cluster.Partitions/2
	}, patience, 100*time.Millisecond)
	var names []string
	const n = 8
	for i := range n {
		names = append(names, fmt.Sprintf("c%d", i))
		first.done(admin.PathCreate, first.definition(names[i], fmt.Sprintf("t%d/#", i), "out"))
	}
	agree(t, "Running", names, first, second)
	c := r.client("publisher")
	for i := range n {
		publish(t, c, fmt.Sprintf("t%d/x", i), "a")
	}
	r.payloads("out", n)
	states := func(w *worker) (all map[connector.State]int, sent int64) {
		all = map[connector.State]int{}
		for _, one := range w.service.Samples(w.sup.Samples()) {
			all[one.State]++
			sent += one.Sent
		}
		return all, sent
	}
	for _, w := range []*worker{first, second} {
		require.Eventually(t, func() bool {
			all, sent := states(w)
			return all[connector.Running] == n && sent == n
		}, patience, 100*time.Millisecond)
		require.Eventually(t, func() bool {
			_, err := w.call(http.MethodGet, admin.PathReadyConnectors, nil)
			return err == nil
		}, patience, 100*time.Millisecond)
	}

	for i, w := range []*worker{first, second} {
		require.Eventually(t, func() bool {
			told := w.workers()
			connectors := 0
			for _, one := range told {
				assert.Positive(t, one.Rebalances)
				assert.WithinDuration(t, time.Now(), time.Unix(one.LastRebalanceTime, 0), patience)
				assert.Equal(t, one.URL == w.url, one.ThisWorker)
				assert.True(t, one.Confirmed && one.Answers)
				assert.Equal(t, cluster.Partitions/2, one.Partitions)
				connectors += one.Connectors
			}
			return len(told) == 2 && connectors == n && told[0].WritesStore != told[1].WritesStore
		}, patience, 100*time.Millisecond, "worker %d", i)
	}

	// One that goes on and does not answer.
	theirs := len(second.sup.Mine())
	require.NotZero(t, theirs)
	second.end()
	require.NoError(t, <-second.served)
	second.served <- nil // for stop
	all, _ := states(first)
	assert.Equal(t, map[connector.State]int{connector.Running: n - theirs, connector.Unknown: theirs}, all)
	require.Eventually(t, func() bool {
		_, err := first.call(http.MethodGet, admin.PathReadyConnectors, nil)
		return err != nil && assert.ErrorContains(t, err, "these workers do not answer, and the states of their connectors are unknown: "+second.url)
	}, patience, 100*time.Millisecond)
}
