package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

// sharedStore is one store for several workers, as one in Kafka is.
type sharedStore struct {
	*store.Dir
	// files: Load takes the temporary file of a write for what a crash has left.
	files sync.Mutex
	mu    sync.Mutex
	told  chan struct{}
	// loaded is called once, after what Load returns was read.
	loaded atomic.Pointer[func()]
	// away: Sync fails, and is counted.
	away  atomic.Bool
	asked atomic.Int64
}

func (s *sharedStore) Sync(ctx context.Context) error {
	if s.away.Load() {
		s.asked.Add(1)
		return errors.New("the store is away")
	}
	return s.Dir.Sync(ctx)
}

func (s *sharedStore) Load() (store.Contents, error) {
	s.files.Lock()
	all, err := s.Dir.Load()
	s.files.Unlock()
	if then := s.loaded.Swap(nil); then != nil {
		(*then)()
	}
	return all, err
}

func (s *sharedStore) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// change is deferred: it lets a write happen alone, and tells of it.
func (s *sharedStore) change() func() {
	s.files.Lock()
	return func() {
		s.files.Unlock()
		s.tell()
	}
}

func (s *sharedStore) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.told)
	s.told = make(chan struct{})
}

func (s *sharedStore) Create(d store.Definition) (store.Definition, error) {
	defer s.change()()
	return s.Dir.Create(d)
}

func (s *sharedStore) Revise(before *store.Definition, d store.Definition) (store.Definition, string, error) {
	defer s.change()()
	return s.Dir.Revise(before, d)
}

func (s *sharedStore) Put(d store.Definition) error {
	defer s.change()()
	return s.Dir.Put(d)
}

func (s *sharedStore) Release(d store.Definition) (store.Released, error) {
	defer s.change()()
	return s.Dir.Release(d)
}

func (s *sharedStore) Mark(d store.Definition) (store.Released, error) {
	defer s.change()()
	return s.Dir.Mark(d)
}

func (s *sharedStore) Forget(r store.Released) error {
	defer s.change()()
	return s.Dir.Forget(r)
}

func (s *sharedStore) PutSession(one store.Session) error {
	defer s.change()()
	return s.Dir.PutSession(one)
}

func (s *sharedStore) DropSession(endpoint, clientID string) error {
	defer s.change()()
	return s.Dir.DropSession(endpoint, clientID)
}

// newWorkers starts services that share a store, a broker and a Kafka.
func newWorkers(t *testing.T, names ...string) (*shares, []*rig) {
	t.Helper()
	all := newShares()
	first := newRig(t)
	first.stopService()
	dir, err := store.Open(first.dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = dir.Close() })
	shared := &sharedStore{Dir: dir, told: make(chan struct{})}
	rigs := make([]*rig, len(names))
	for i, name := range names {
		r := *first
		r.logs = &logtext.Text{}
		r.opts.Logger = slog.New(slog.NewTextHandler(r.logs, nil))
		r.opts.Store, r.opts.Notes = shared, store.Notes{}
		r.opts.Share = &shareOf{shares: all, worker: name}
		r.Supervisor, err = New(r.opts)
		require.NoError(t, err)
		require.NoError(t, r.Start())
		t.Cleanup(func() { _ = r.Close() })
		all.join(name, &r)
		rigs[i] = &r
	}
	return all, rigs
}

func (r *rig) seen(name string, is func(connector.Status) bool) {
	r.t.Helper()
	require.NoError(r.t, r.Refresh(r.t.Context()))
	status, _, err := r.Detail(name)
	require.NoError(r.t, err)
	require.True(r.t, is(status), "%+v\n%s", status, r.logs)
}

func one(name string) func(string, int) bool {
	return func(is string, _ int) bool { return is == name }
}

func TestAConnectorRunsOnTheWorkerThatOwnsIt(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2")
	w1, w2 := workers[0], workers[1]
	owners.give("c", "w2")
	w1.create(w1.conn("c", "t/#", "first", ""))
	w2.ready("c")
	w1.seen("c", func(s connector.Status) bool { return s.Reason != "" && s.State == connector.Waiting })
	assert.NoError(t, w1.ConnectorsReady(), "it is not this worker's")
	assert.NoError(t, w2.ConnectorsReady())
	w1.publish("t/1", "a")
	w1.records("first", 1)

	// Another worker changes it, and the owner applies that.
	_, err := w1.Update(t.Context(), w1.conn("c", "t/#", "second", ""), connector.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, w2.Refresh(t.Context()))
	w2.ready("c")
	w2.publish("t/1", "b")
	assert.Contains(t, string(w2.records("second", 1)[0].Value), "Yg==")

	// The owner pauses, resumes and deletes it, and the other worker sees that.
	require.NoError(t, w2.Pause(t.Context(), "c"))
	w1.seen("c", func(s connector.Status) bool { return s.State == connector.Paused })
	require.NoError(t, w2.Resume(t.Context(), "c"))
	w2.ready("c")
	w1.seen("c", func(s connector.Status) bool { return s.State == connector.Waiting })
	note, err := w2.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	require.NoError(t, w1.Refresh(t.Context()))
	_, _, err = w1.Detail("c")
	require.ErrorIs(t, err, connector.ErrNotFound)
}

func TestTheMetricsTellTheShareOfAWorker(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2")
	owners.give("mine", "w1")
	owners.give("theirs", "w2")
	for _, name := range []string{"mine", "theirs"} {
		workers[0].create(workers[0].conn(name, name+"/#", "out", ""))
	}
	workers[0].ready("mine")
	w := httptest.NewRecorder()
	workers[0].Metrics().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		"robustmq_connect_workers 2", "robustmq_connect_worker_partitions 7", "robustmq_connect_worker_writes_store 0",
		"robustmq_connect_worker_confirmed 1", "robustmq_connect_worker_rebalances_total 3",
		"robustmq_connect_worker_last_rebalance_timestamp_seconds 1e+09", "robustmq_connect_worker_last_rebalance_duration_seconds 1.5",
		`robustmq_connect_connector_up{connector="mine"} 1`,
	} {
		assert.Contains(t, w.Body.String(), line+"\n")
	}
	assert.NotContains(t, w.Body.String(), `"theirs"`, "its worker exports it")
}

func TestLabelsDoNotDisturbAConnectorOfAnotherWorker(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2")
	w1, w2 := workers[0], workers[1]
	owners.give("c", "w2")
	c := w1.conn("c", "t/#", "out", "")
	w1.create(c)
	w2.ready("c")
	e := w2.find("c")
	w2.mu.Lock()
	before := e.run
	w2.mu.Unlock()
	c.Labels = map[string]string{"team": "a"}
	_, err := w1.Update(t.Context(), c, connector.UpdateOptions{})
	require.NoError(t, err)
	w2.until("c", func(s connector.Status) bool { return s.Labels["team"] == "a" })
	w2.mu.Lock()
	defer w2.mu.Unlock()
	assert.Same(t, before, e.run)
}

// What is published while nobody runs the connector waits in its session. The embedded broker
// acknowledges a message before it puts it there, which it has done once the publisher has
// gone.
func TestAConnectorThatMovesLosesNothing(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2")
	owners.give("c", "w1")
	workers[0].create(workers[0].conn("c", "t/#", "out", ""))
	n := 0
	for round := range 6 {
		from, to := workers[round%2], workers[(round+1)%2]
		from.ready("c")
		from.publish("t/1", strconv.Itoa(n), strconv.Itoa(n+1))
		from.connected(1)
		owners.give("c", "nobody")
		from.Release(one("c"))
		from.connected(0) // the broker has noticed: it can lose a message in that moment
		from.publish("t/1", strconv.Itoa(n+2))
		from.connected(0)
		n += 3
		owners.give("c", []string{"w2", "w1"}[round%2])
		to.Take()
	}
	seen := map[string]bool{}
	require.Eventually(t, func() bool {
		for _, rec := range workers[0].records("out", n) {
			seen[string(rec.Value)] = true
		}
		return len(seen) == n
	}, patience, 10*time.Millisecond)
}

func TestAWorkerThatIsNotConfirmedDoesNotConnect(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2")
	w1, w2 := workers[0], workers[1]
	owners.give("c", "w1")
	w1.create(w1.conn("c", "t/#", "out", ""))
	w1.ready("c")
	// w1 was forgotten, and the session is taken over.
	w1.opts.Share.(*shareOf).fenced.Store(true)
	owners.give("c", "w2")
	w2.Take()
	w2.ready("c")
	w1.until("c", func(s connector.Status) bool { return strings.Contains(s.Reason, "the coordinator says no") })
	w1.publish("t/1", "a")
	w2.records("out", 1)
	w2.ready("c") // it was not thrown off
	w1.Abandon(one("c"))
	w1.until("c", func(s connector.Status) bool {
		return s.State == connector.Waiting && len(s.Waits) == 1 && s.Waits[0].Why == "another worker runs it"
	})
	w2.ready("c")

	// It comes back: w2 gives it up, and w1 takes it.
	w1.opts.Share.(*shareOf).fenced.Store(false)
	owners.give("c", "nobody")
	w2.Release(one("c"))
	owners.give("c", "w1")
	w1.Take()
	w1.ready("c")
}

// The worker of a deleted connector removes its session, so no other connector may take
// its client id before that.
func TestAClientIDIsNotTakenWhileAnotherWorkerRemovesItsSession(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2")
	w1, w2 := workers[0], workers[1]
	owners.give("a", "w2")
	owners.give("b", "w1")
	w1.create(w1.conn("a", "t/#", "out", `,"client_id":"same"`))
	w2.ready("a")
	d := w2.find("a").stored(w2.Supervisor)
	// As if w2 had been killed between the delete and the removal of the session.
	_, err := w2.store.Release(d)
	require.NoError(t, err)
	_, err = w1.Create(t.Context(), w1.conn("b", "t/#", "out", `,"client_id":"same"`), connector.CreateOptions{})
	if err != nil {
		require.ErrorContains(t, err, `another worker removes the session "same"`)
	}
	require.Eventually(t, func() bool {
		_, err := w1.Create(t.Context(), w1.conn("b", "t/#", "out", `,"client_id":"same"`), connector.CreateOptions{})
		return err == nil || errors.Is(err, connector.ErrExists)
	}, patience, 10*time.Millisecond)
	w1.ready("b")
	require.Error(t, func() error { _, _, err := w2.Detail("a"); return err }())
}

func TestAWorkerGoesOnWhenItsNeighbourChangesManyConnectors(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2", "w3")
	const n = 12
	for i := range n {
		name := fmt.Sprintf("c%d", i)
		owners.give(name, []string{"w1", "w2", "w3"}[i%3])
		workers[0].create(workers[0].conn(name, fmt.Sprintf("t%d/#", i), "out", ""))
	}
	for i := range n {
		workers[i%3].ready(fmt.Sprintf("c%d", i))
	}
	for i := range n {
		name := fmt.Sprintf("c%d", i)
		if i%2 == 0 {
			_, err := workers[i%3].Delete(t.Context(), name)
			require.NoError(t, err)
			continue
		}
		_, err := workers[0].Update(t.Context(), workers[0].conn(name, fmt.Sprintf("u%d/#", i), "out", ""), connector.UpdateOptions{DiscardWaiting: true})
		require.NoError(t, err)
	}
	for _, w := range workers {
		require.NoError(t, w.Refresh(t.Context()))
		assert.Len(t, w.List(), n/2)
	}
	for i := 1; i < n; i += 2 {
		workers[i%3].ready(fmt.Sprintf("c%d", i))
		workers[i%3].publish(fmt.Sprintf("u%d/x", i), strconv.Itoa(i))
	}
	workers[0].records("out", n/2)
}

// A change that comes while the one before it is applied was read then, and its
// connector waited for the change after it.
func TestAChangeThatComesWhileAnotherIsAppliedIsAppliedToo(t *testing.T) {
	_, workers := newWorkers(t, "w1")
	w1 := workers[0]
	shared, ok := w1.store.(*sharedStore)
	require.True(t, ok)
	write := func(name string) {
		_, err := shared.Create(store.Definition{Connector: w1.conn(name, "t/#", "out", "")})
		assert.NoError(t, err)
	}
	next := func() { write("second") }
	shared.loaded.Store(&next)
	write("first")
	for _, name := range []string{"first", "second"} {
		require.Eventually(t, func() bool { return w1.find(name) != nil }, patience, time.Millisecond, name)
	}
}
