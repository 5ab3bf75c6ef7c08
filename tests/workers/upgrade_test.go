package workers_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// stored reads the topic of definitions to its end, and returns the last value of a key.
func (r *rig) stored(key string) string {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()), kgo.ConsumeTopics("test-definitions"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	require.NoError(r.t, err)
	defer client.Close()
	end := r.produce(client, "/end", "") // a record of a later version, which workers ignore
	value := ""
	for seen := int64(-1); seen < end; {
		fetches := client.PollFetches(r.t.Context())
		require.NoError(r.t, fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			if string(record.Key) == key && !record.Attrs.IsControl() {
				value = string(record.Value)
			}
			seen = record.Offset
		})
	}
	return value
}

// produce writes a record into the topic of definitions, as a worker of another version
// does, and returns its offset.
func (r *rig) produce(client *kgo.Client, key, value string) int64 {
	r.t.Helper()
	record := &kgo.Record{Topic: "test-definitions", Key: []byte(key), Value: []byte(value)}
	require.NoError(r.t, client.ProduceSync(r.t.Context(), record).FirstErr())
	return record.Offset
}

func (r *rig) write(key, value string) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()))
	require.NoError(r.t, err)
	defer client.Close()
	r.produce(client, key, value)
}

// states are those of the connectors as a worker lists them.
func (w *worker) states() map[string]string {
	all := map[string]string{}
	for _, row := range w.rows() {
		all[row.ConnectorName] = row.State
	}
	return all
}

// In a rolling upgrade, workers of two versions are side by side. This version is the
// older one: a newer worker has written the records of two connectors.
func TestAnOlderWorkerLeavesWhatANewerOneWrote(t *testing.T) {
	r := newRig(t)
	workers := []*worker{r.worker(), r.worker()}
	for _, name := range []string{"stays", "upgraded"} {
		workers[0].done(admin.PathCreate, workers[0].definition(name, name+"/#", "out"))
	}
	agree(t, "Running", []string{"stays", "upgraded"}, workers...)
	before := r.stored("default/upgraded")
	require.Contains(t, before, `"format":1`)

	newer := strings.Replace(before, `"format":1`, `"of_a_newer_version":{"x":1},"format":2`, 1)
	r.write("default/upgraded", newer)
	added := `{"format":2,"revision":1,"connector":{"of_a_newer_version":true}}`
	r.write("default/added", added)
	r.write("/of_a_newer_version", `{"format":2}`)

	want := map[string]string{"stays": "Running", "upgraded": "Failed", "added": "Failed"}
	refused := func(all ...*worker) {
		t.Helper()
		for _, w := range all {
			var states map[string]string
			require.Eventually(t, func() bool {
				states = w.states()
				return assert.ObjectsAreEqual(want, states)
			}, patience, 100*time.Millisecond, "%v", &states)
			for _, name := range []string{"upgraded", "added"} {
				data, err := w.call(http.MethodGet, detailPath(name), nil)
				require.NoError(t, err)
				assert.Contains(t, string(data), "needs a newer version of this program")
				for path, body := range map[string]any{
					admin.PathUpdate: w.definition(name, "other/#", "out"), admin.PathDelete: named(name),
					admin.PathPause: named(name), admin.PathResume: named(name), admin.PathCreate: w.definition(name, "other/#", "out"),
				} {
					// A worker that has just gone may be asked for a moment, and nothing is done.
					want := "newer version"
					if path == admin.PathCreate {
						want = name
					}
					var last error
					require.Eventually(t, func() bool {
						_, last = w.call(http.MethodPost, path, body)
						return last == nil || strings.Contains(last.Error(), want)
					}, patience, 100*time.Millisecond, "%s %s: %v", path, name, &last)
					require.Error(t, last, "%s %s", path, name)
				}
			}
		}
		assert.Equal(t, newer, r.stored("default/upgraded"))
		assert.Equal(t, added, r.stored("default/added"))
	}
	refused(workers...)

	// What moves between older workers is left alone too, and they go on with the rest.
	workers[0].stop()
	third := r.worker()
	refused(workers[1], third)
	c := r.client("publisher")
	publish(t, c, "stays/x", "1")
	assert.Len(t, r.payloads("out", 1), 1)

	// The newer version is taken back.
	r.write("default/upgraded", before)
	r.write("default/added", "")
	want = map[string]string{"stays": "Running", "upgraded": "Running"}
	for _, w := range []*worker{workers[1], third} {
		require.Eventually(t, func() bool { return assert.ObjectsAreEqual(want, w.states()) }, patience, 100*time.Millisecond)
	}
	publish(t, c, "upgraded/x", "2")
	assert.Len(t, r.payloads("out", 2), 2)
}
