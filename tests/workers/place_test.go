package workers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// urlOf is the worker that runs a member, "unknown" where none of these does.
func urlOf(name string, member int, all ...*worker) string {
	for _, w := range all {
		if w.service.Runs(name, member) {
			return w.url
		}
	}
	return connector.UnknownWorker
}

// placesOf are the workers of each connector as list tells them, detail and the console: of
// the first member, or of each if it has several.
func (w *worker) placesOf() (listed, detailed, shown map[string][]string) {
	listed, detailed, shown = map[string][]string{}, map[string][]string{}, map[string][]string{}
	of := func(worker string, members []admin.Member) []string {
		all := []string{worker}
		for i, m := range members {
			assert.Equal(w.t, i+1, m.Member)
			all = append(all, m.Worker)
		}
		return all
	}
	for _, row := range w.rows() {
		listed[row.ConnectorName] = of(row.Worker, row.Members)
		d := w.detail(row.ConnectorName)
		detailed[row.ConnectorName] = of(d.Worker, d.Members)
	}
	for _, one := range w.service.Samples(w.sup.Samples()) {
		shown[one.Name] = []string{one.Worker}
		for _, m := range one.Members {
			shown[one.Name] = append(shown[one.Name], m.Worker)
		}
	}
	return listed, detailed, shown
}

func TestAnyWorkerTellsWhichWorkerRunsAConnector(t *testing.T) {
	r := newRig(t)
	first, second := r.worker(), r.worker()
	const members = 4
	shared := spreadName(t, members, first, second)
	first.done(admin.PathCreate, first.sharedDefinition(shared, members, "out"))
	var names []string
	for i := range 4 {
		names = append(names, fmt.Sprintf("c%d", i))
		first.done(admin.PathCreate, first.definition(names[i], names[i]+"/#", "out"))
	}
	agree(t, "Running", append(names[:4:4], shared), first, second)
	want := func(all ...*worker) map[string][]string {
		places := map[string][]string{shared: {urlOf(shared, 0, all...)}}
		for member := range members {
			places[shared] = append(places[shared], urlOf(shared, member, all...))
		}
		for _, name := range names {
			places[name] = []string{urlOf(name, 0, all...)}
		}
		return places
	}
	told := func(by []*worker, want func() map[string][]string) {
		t.Helper()
		for _, w := range by {
			var have [3]map[string][]string
			require.Eventually(t, func() bool {
				have[0], have[1], have[2] = w.placesOf()
				now := want()
				return !slices.ContainsFunc(have[:], func(one map[string][]string) bool { return !assert.ObjectsAreEqual(now, one) })
			}, patience, 100*time.Millisecond, "%s", described(func() string { return fmt.Sprintf("%s: %v: %v", w.url, want(), have) }))
		}
	}
	both := []*worker{first, second}
	told(both, func() map[string][]string { return want(both...) })

	first.done(admin.PathPause, named(names[0]))
	first.done(admin.PathPause, named(shared))
	told(both, func() map[string][]string {
		places := want(both...)
		places[names[0]], places[shared] = []string{""}, []string{""}
		return places
	})
	first.done(admin.PathResume, named(names[0]))
	first.done(admin.PathResume, named(shared))
	told(both, func() map[string][]string { return want(both...) })

	// One that runs its share and does not answer. The detail of its connectors cannot be had.
	second.end()
	require.NoError(t, <-second.served)
	second.served <- nil // for stop
	require.Eventually(t, func() bool {
		listed, _, shown := first.placesOf()
		return assert.ObjectsAreEqual(want(first), listed) && assert.ObjectsAreEqual(want(first), shown)
	}, patience, 100*time.Millisecond)
	second.stop()
	told([]*worker{first}, func() map[string][]string { return want(first) })
}
