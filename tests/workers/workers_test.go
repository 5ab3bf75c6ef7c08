package workers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func TestAnyWorkerTakesAnyCall(t *testing.T) {
	r := newRig(t)
	all := []*worker{r.worker(), r.worker(), r.worker()}
	var names []string
	for i := range 12 {
		name := fmt.Sprintf("c%d", i)
		names = append(names, name)
		all[i%3].done(admin.PathCreate, all[0].definition(name, fmt.Sprintf("t%d/#", i), "out"))
	}
	agree(t, "Running", names, all...)
	for _, w := range all {
		assert.NotEmpty(t, w.sup.Mine(), "each has its share")
	}
	c := r.client("publisher")
	for i := range 12 {
		publish(t, c, fmt.Sprintf("t%d/x", i), "a")
	}
	assert.Len(t, r.payloads("out", 12), 12)

	// Each worker knows the figures of each connector.
	for _, w := range all {
		for _, name := range names {
			require.Eventually(t, func() bool {
				data, err := w.call(http.MethodGet, detailPath(name), nil)
				if err != nil {
					return false
				}
				var d admin.Detail
				return json.Unmarshal(data, &d) == nil && d.SendSuccessTotal == 1
			}, patience, 100*time.Millisecond)
		}
	}
	for i, name := range names {
		all[(i+1)%3].done(admin.PathUpdate, all[0].definition(name, fmt.Sprintf("t%d/#", i), "second"))
	}
	agree(t, "Running", names, all...)
	for i := range 12 {
		publish(t, c, fmt.Sprintf("t%d/x", i), "b")
	}
	assert.Len(t, r.payloads("second", 12), 12)
	for i, name := range names {
		all[(i+2)%3].done(admin.PathPause, named(name))
	}
	agree(t, "Paused", names, all...)
	// A selector reaches connectors on all workers.
	_, err := all[1].call(http.MethodPost, admin.PathResume, map[string]any{"tenant": "default", "selector": "!nothing"})
	require.NoError(t, err)
	agree(t, "Running", names, all...)
	for i, name := range names[:6] {
		all[i%3].done(admin.PathDelete, named(name))
	}
	agree(t, "Running", names[6:], all...)
	_, err = all[0].call(http.MethodGet, detailPath("c0"), nil)
	require.ErrorContains(t, err, "does not exist")
	_, err = all[0].call(http.MethodPost, admin.PathPause, named("nobody"))
	require.ErrorContains(t, err, "does not exist")
}

// The broker of this test can lose a message that arrives in the moment in which a client
// resumes its session, so nothing is published then. With mosquitto, the integration
// tests publish all the time.
func TestNothingIsLostWhenWorkersComeAndGo(t *testing.T) {
	r := newRig(t)
	first, second := r.worker(), r.worker()
	var names []string
	const n = 8
	for i := range n {
		names = append(names, fmt.Sprintf("c%d", i))
		first.done(admin.PathCreate, first.definition(names[i], fmt.Sprintf("t%d/#", i), "out"))
	}
	c := r.client("publisher")
	sent := 0
	settled := func(all ...*worker) {
		t.Helper()
		agree(t, "Running", names, all...)
		for i := range n {
			publish(t, c, fmt.Sprintf("t%d/x", i), strconv.Itoa(sent))
		}
		sent++
	}
	settled(first, second)
	third := r.worker()
	settled(first, second, third)
	second.stop()
	settled(first, third)

	// One that Kafka does not hear of: the others take over, and it comes back.
	third.link.Cut()
	require.Eventually(t, func() bool { return len(first.sup.Mine()) == n }, patience, 100*time.Millisecond)
	for _, name := range names {
		require.Eventually(t, func() bool {
			data, err := first.call(http.MethodGet, detailPath(name), nil)
			var d admin.Detail
			return err == nil && json.Unmarshal(data, &d) == nil && d.State == "Running"
		}, patience, 100*time.Millisecond)
	}
	third.link.Restore()
	settled(first, third)

	// The writer leaves, and changes are possible again.
	first.stop()
	settled(third)
	third.done(admin.PathCreate, third.definition("last", "last/#", "out"))
	names = append(names, "last")
	settled(third)
	assert.Len(t, r.payloads("out", sent*n), n)
}
