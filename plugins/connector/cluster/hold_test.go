package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// runner is what a worker runs, which records what it is asked.
type runner struct {
	Runner
	mu    sync.Mutex
	calls []string
	fails error
}

func (r *runner) Take()                          {}
func (r *runner) Release(func(string, int) bool) {}
func (r *runner) Abandon(func(string, int) bool) {}
func (r *runner) MySamples() []connector.Sample  { return nil }
func (r *runner) note(format string, of ...any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, of...))
	return r.fails
}

func (r *runner) Hold(_ context.Context, name string, revision int, operation string) error {
	return r.note("hold %s %d %s", name, revision, operation)
}

func (r *runner) LetGo(_ context.Context, name, operation string, afresh bool) error {
	return r.note("let go %s %s %t", name, operation, afresh)
}

func (r *runner) Logs(name string, which connector.LogQuery) (connector.Logs, error) {
	line := connector.LogLine{Time: time.Unix(1, 0).UTC()}
	return connector.Logs{Lines: []connector.LogLine{line}}, r.note("logs %s %s %s %d", name, which.Since, which.Least, which.Limit)
}

func (r *runner) SetLogLevel(name, level string) error { return r.note("level %s %s", name, level) }

func (r *runner) MySample(name string) (connector.Sample, bool) {
	return connector.Sample{Status: connector.Status{Name: name, Parallelism: 2, State: connector.Running}}, name == "known"
}

func (r *runner) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.calls
	r.calls = nil
	return all
}

func (r *runner) failing(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = err
}

// neighbour is a worker of a service.
type neighbour struct {
	*Service
	runner *runner
	api    *httptest.Server
}

func startNeighbour(t *testing.T, kafka string) *neighbour {
	t.Helper()
	return startNeighbourOf(t, kafka, writingService(t).local.(writable))
}

// startNeighbourOf starts one with this store.
func startNeighbourOf(t *testing.T, kafka string, local Writable) *neighbour {
	t.Helper()
	n := &neighbour{runner: &runner{}}
	n.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.ServeHTTP(w, r) }))
	t.Cleanup(n.api.Close)
	connect := &http.Transport{}
	t.Cleanup(connect.CloseIdleConnections)
	var err error
	n.Service, err = NewService(Options{
		Client: []kgo.Opt{kgo.SeedBrokers(kafka)}, Group: "workers", Topic: topic, Advertise: n.api.URL, SessionTimeout: session,
	}, secret, connect)
	require.NoError(t, err)
	n.Store(local)
	require.NoError(t, n.Join(t.Context(), n.runner))
	t.Cleanup(func() { _ = n.Leave() })
	return n
}

// spread returns a connector whose first member a runs, and whose second one b does, as a
// knows.
func spread(t *testing.T, a, b *neighbour) (name string) {
	t.Helper()
	var last string
	found := assert.Eventually(t, func() bool {
		for i := range 1000 {
			if name = fmt.Sprintf("c%d", i); a.Runs(name, 0) && b.Runs(name, 1) {
				break
			}
		}
		places, err := a.placesOf(t.Context(), name, 2)
		last = fmt.Sprintf("%s: %v %v: %v %v", name, places, err, a.joined().Standing().Partitions, b.joined().Standing().Partitions)
		return err == nil && len(places) == 1 && len(places[b.api.URL]) == 1 && a.Runs(name, 0) && b.Runs(name, 1) &&
			a.Membership().Partitions == Partitions/2 && b.Membership().Partitions == Partitions/2
	}, patience, 50*time.Millisecond)
	require.True(t, found, last)
	return name
}

func TestTheWorkersOfOtherMembersHoldThem(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a, b := startNeighbour(t, kafka), startNeighbour(t, kafka)
	name := spread(t, a, b)
	others, here, err := a.MembersAt(t.Context(), name, 2)
	require.NoError(t, err)
	assert.Equal(t, map[string][]int{b.api.URL: {1}}, others)
	assert.Equal(t, []int{0}, here)
	still, err := a.Hold(t.Context(), name, 7, 2, "op")
	require.NoError(t, err)
	require.NoError(t, still())
	assert.Equal(t, []string{"hold " + name + " 7 op"}, b.runner.asked())
	require.NoError(t, a.LetGo(name, 2, "op", true))
	assert.Equal(t, []string{"let go " + name + " op true"}, b.runner.asked())
	_, err = a.Hold(t.Context(), name, 7, 1, "op")
	require.NoError(t, err)
	assert.Empty(t, b.runner.asked(), "a connector with one member calls nobody")

	require.NoError(t, a.SetLogLevel(t.Context(), name, 2, "debug"))
	assert.Equal(t, []string{"level " + name + " debug"}, b.runner.asked())

	// One that does not hold it, and one that does not answer.
	b.runner.failing(errors.New("it is broken"))
	which := "the worker " + b.api.URL + ", which runs member 2 of 2, "
	_, err = a.Hold(t.Context(), name, 7, 2, "op")
	require.EqualError(t, err, which+"does not drain it: it is broken: try again soon")
	assert.Equal(t, []string{"hold " + name + " 7 op", "let go " + name + " op false"}, b.runner.asked())
	require.EqualError(t, a.LetGo(name, 2, "op", false), which+"does not start it again: it is broken")
	require.EqualError(t, a.SetLogLevel(t.Context(), name, 2, "debug"), which+"has not set the level: it is broken: try again soon")
	b.runner.failing(nil)
	b.api.Close()
	_, err = a.Hold(t.Context(), name, 7, 2, "op")
	require.ErrorContains(t, err, which+"does not drain it: ")
	require.ErrorContains(t, err, ": try again soon")

	// The members move.
	third := startNeighbour(t, kafka)
	require.Eventually(t, func() bool { return third.Membership().Partitions > 0 }, patience, 50*time.Millisecond)
	require.Eventually(t, func() bool { return still() != nil }, patience, 50*time.Millisecond)
	assert.ErrorContains(t, still(), "connectors move between workers at the moment: try again soon")
}

// A worker that was stopped for a while believes to run members that others have.
func TestOnlyTheWorkerOfAMemberHoldsIt(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a, b := startNeighbour(t, kafka), startNeighbour(t, kafka)
	name := spread(t, a, b)
	hold := func(generation int32, members ...int) changed {
		t.Helper()
		body, err := json.Marshal(holding{Name: name, Operation: "op", Members: members, Revision: 7})
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodPost, pathHold, bytes.NewReader(body))
		r.Header.Set(TokenHeader, secret)
		r.Header.Set(generationHeader, strconv.Itoa(int(generation)))
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var answer changed
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		return answer
	}
	generation, ok := b.generation()
	require.True(t, ok)
	assert.Equal(t, changed{}, hold(generation, 1))
	assert.Equal(t, changed{Error: ErrNotOwner.Error()}, hold(generation, 0))
	assert.Equal(t, changed{Error: ErrNotOwner.Error()}, hold(generation, 1, 0))
	assert.Equal(t, changed{Error: "it has missed a rebalance"}, hold(generation+1, 1))
	assert.Equal(t, []string{"hold " + name + " 7 op"}, b.runner.asked())
}

func TestACallAboutMembersIsJudged(t *testing.T) {
	s := writingService(t)
	for _, path := range []string{pathHold, pathLetGo, pathLogLevel} {
		assert.Equal(t, http.StatusUnauthorized, s.ask(http.MethodPost, path, "x", "{}").Code)
		assert.Equal(t, http.StatusNotFound, s.ask(http.MethodGet, path, secret, "{}").Code)
		for _, body := range []string{"", "[]", `{"name":1}`, `{"name":"c"`} {
			assert.Equal(t, http.StatusBadRequest, s.ask(http.MethodPost, path, secret, body).Code, body)
		}
		assert.Contains(t, s.ask(http.MethodPost, path, secret, `{"name":"c","members":[0]}`).Body.String(), errNotJoined.Error())
	}
	assert.Equal(t, "member 3 of 3", numbered([]int{2}, 3))
	assert.Equal(t, "members 1, 3 of 3", numbered([]int{0, 2}, 3))
	s.runner = &runner{}
	assert.JSONEq(t, "[]", s.ask(http.MethodGet, pathSamples+"?connector_name=other", secret, "").Body.String())
	assert.Contains(t, s.ask(http.MethodGet, pathSamples+"?connector_name=known", secret, "").Body.String(), `"Name":"known"`)
}
