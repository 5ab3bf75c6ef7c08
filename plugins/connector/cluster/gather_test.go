package cluster

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func member(n int, state connector.State, waits ...connector.Need) connector.MemberStatus {
	one := connector.MemberStatus{Member: n, State: state}
	if state != connector.Running {
		one.Reason = "because"
	}
	for _, need := range waits {
		one.Waits = append(one.Waits, connector.Wait{For: need})
	}
	return one
}

// sampleOf is what a worker tells about a connector with three members, of which it runs some.
func sampleOf(revision int, sent int64, some ...connector.MemberStatus) connector.Sample {
	one := connector.Sample{Status: connector.Status{Name: "c", Revision: revision, Parallelism: 3}}
	if len(some) > 0 {
		one.SetMembers(some)
	}
	one.Sent, one.Received, one.InFlight = sent, sent, sent
	return one
}

func TestMembersOnSeveralWorkersAreOneConnector(t *testing.T) {
	at := func(worker string, one connector.Sample) connector.Sample {
		placeSampleAt(&one, worker)
		return one
	}
	workersOf := func(one connector.Status) []string {
		workers := []string{one.Worker}
		for _, m := range one.Members {
			workers = append(workers, m.Worker)
		}
		return workers
	}
	known := sampleOf(2, 1)
	known.State, known.Labels = connector.Waiting, map[string]string{"here": "yes"}
	for name, tc := range map[string]struct {
		told   []connector.Sample
		state  connector.State
		reason string
		sent   int64
		places []string // of the first member, and of each
	}{
		"all run":                  {[]connector.Sample{at("a", sampleOf(2, 1, member(0, connector.Running))), at("b", sampleOf(2, 10, member(2, connector.Running), member(1, connector.Running)))}, connector.Running, "", 11, []string{"a", "a", "b", "b"}},
		"one waits":                {[]connector.Sample{at("a", sampleOf(2, 1, member(0, connector.Running))), at("b", sampleOf(2, 10, member(2, connector.Waiting), member(1, connector.Running)))}, connector.Waiting, "member 3 of 3: because", 11, []string{"a", "a", "b", "b"}},
		"one worker is silent":     {[]connector.Sample{at("a", sampleOf(2, 1, member(0, connector.Running), member(2, connector.Waiting)))}, connector.Unknown, "member 2 of 3: " + notKnown, 1, []string{"a", "a", connector.UnknownWorker, "a"}},
		"all are silent":           {nil, connector.Unknown, "member 1 of 3: " + notKnown, 1, []string{connector.UnknownWorker, connector.UnknownWorker, connector.UnknownWorker, connector.UnknownWorker}},
		"one has another revision": {[]connector.Sample{at("a", sampleOf(1, 1, member(0, connector.Running), member(1, connector.Running))), at("b", sampleOf(2, 10, member(2, connector.Failed)))}, connector.Failed, "member 3 of 3: because", 10, []string{connector.UnknownWorker, connector.UnknownWorker, connector.UnknownWorker, "b"}},
		"the first one hands over": {[]connector.Sample{at("a", sampleOf(2, 1, member(0, connector.Waiting, connector.NeedUpdate)))}, connector.Waiting, "because", 1, []string{"a", "a"}},
		// The worker that has lost a member has not noticed, or drains it.
		"two tell about one": {[]connector.Sample{at("a", sampleOf(2, 1, member(0, connector.Running), member(1, connector.Waiting))), at("b", sampleOf(2, 10, member(1, connector.Running), member(2, connector.Running)))}, connector.Running, "", 11, []string{"a", "a", "b", "b"}},
	} {
		all := []connector.Sample{known}
		mergeSamples(all, map[string][]connector.Sample{"c": tc.told}, func(string, int) bool { return true })
		assert.Equal(t, tc.state, all[0].State, name)
		assert.Equal(t, tc.reason, all[0].Reason, name)
		assert.Equal(t, tc.sent, all[0].Sent, name)
		assert.Equal(t, known.Labels, all[0].Labels, name)
		assert.Equal(t, 3, all[0].Parallelism, name)
		assert.Equal(t, tc.places, workersOf(all[0].Status), name)

		var told []connector.Status
		for _, one := range tc.told {
			told = append(told, one.Status)
		}
		statuses := []connector.Status{known.Status}
		Merge(statuses, map[string][]connector.Status{"c": told}, func(string, int) bool { return true })
		assert.Equal(t, tc.state, statuses[0].State, name)
		assert.Equal(t, tc.reason, statuses[0].Reason, name)
		assert.Equal(t, tc.places, workersOf(statuses[0]), name)
	}
	paused := []connector.Sample{known}
	paused[0].State = connector.Paused
	mergeSamples(paused, nil, func(string, int) bool { return false })
	assert.Equal(t, connector.Paused, paused[0].State, "the store says so")
	assert.Empty(t, paused[0].Worker)
}

func TestAConnectorRunsWhereItIsToldToRun(t *testing.T) {
	status := func(state connector.State, revision int, worker string) connector.Status {
		return connector.Status{Name: "c", State: state, Revision: revision, Worker: worker}
	}
	for name, tc := range map[string]struct {
		known  connector.State
		runs   bool // here
		told   []connector.Status
		state  connector.State
		worker string
	}{
		"here":                     {connector.Running, true, []connector.Status{status(connector.Running, 2, "here")}, connector.Running, "here"},
		"here, and drained there":  {connector.Running, true, []connector.Status{status(connector.Running, 2, "here"), status(connector.Running, 2, "there")}, connector.Running, "here"},
		"there":                    {connector.Waiting, false, []connector.Status{status(connector.Running, 2, "there")}, connector.Running, "there"},
		"there, and drained here":  {connector.Running, false, []connector.Status{status(connector.Running, 2, "here"), status(connector.Waiting, 2, "there")}, connector.Waiting, "there"},
		"there, by an old version": {connector.Waiting, false, []connector.Status{status(connector.Running, 1, "there")}, connector.Unknown, connector.UnknownWorker},
		"nowhere":                  {connector.Waiting, false, nil, connector.Unknown, connector.UnknownWorker},
		"here since now":           {connector.Waiting, true, nil, connector.Waiting, connector.UnknownWorker},
		"failed there":             {connector.Failed, false, []connector.Status{status(connector.Failed, 0, "there")}, connector.Failed, "there"},
		"failed nowhere":           {connector.Failed, false, nil, connector.Failed, connector.UnknownWorker},
		"paused":                   {connector.Paused, true, []connector.Status{status(connector.Paused, 2, "here")}, connector.Paused, ""},
		"paused, as known there":   {connector.Waiting, false, []connector.Status{status(connector.Paused, 2, "there")}, connector.Paused, ""},
	} {
		all := []connector.Status{status(tc.known, 2, "")}
		Merge(all, map[string][]connector.Status{"c": tc.told}, func(string, int) bool { return tc.runs })
		assert.Equal(t, tc.state, all[0].State, name)
		assert.Equal(t, tc.worker, all[0].Worker, name)
	}
}

// Nobody is asked where a connector with one member runs: this worker has not joined others.
func TestAWorkerKnowsWhetherItRunsAConnector(t *testing.T) {
	s := writingService(t)
	for name, tc := range map[string]struct {
		runner Runner
		state  connector.State
		worker string
	}{
		"known":  {&runner{}, connector.Running, "http://a:1"}, // and not owned: the coordinator is away
		"other":  {&runner{}, connector.Waiting, connector.UnknownWorker},
		"early":  {nil, connector.Waiting, connector.UnknownWorker},
		"paused": {&runner{}, connector.Paused, ""},
	} {
		s.runner = tc.runner
		whole, silent, err := s.Complete(t.Context(), connector.Sample{Status: connector.Status{Name: name, State: tc.state, Parallelism: 1}})
		require.NoError(t, err, name)
		assert.Empty(t, silent, name)
		assert.Equal(t, tc.state, whole.State, name)
		assert.Equal(t, tc.worker, whole.Worker, name)
	}
}

func TestTheLogsOfMembersAreOneLog(t *testing.T) {
	logs := func(omitted, dropped int, seconds ...int64) connector.Logs {
		one := connector.Logs{Level: "debug", Omitted: omitted, Dropped: dropped}
		for _, at := range seconds {
			one.Lines = append(one.Lines, connector.LogLine{Time: time.Unix(at, 0)})
		}
		return one
	}
	assert.Equal(t, logs(1, 2, 1, 3), mergeLogs([]connector.Logs{logs(1, 2, 1, 3)}, 10))
	assert.Equal(t, logs(11, 22, 1, 2, 3, 4), mergeLogs([]connector.Logs{logs(1, 2, 1, 3), logs(10, 20, 2, 4)}, 4))
	assert.Equal(t, logs(13, 22, 3, 4), mergeLogs([]connector.Logs{logs(1, 2, 1, 3), logs(10, 20, 2, 4), {}}, 2))

	s := writingService(t)
	for _, about := range []string{"", "[]", strings.Repeat(" ", maxLogQuery) + "{}"} {
		assert.Equal(t, http.StatusBadRequest, s.ask(http.MethodGet, pathLogs+"?"+url.Values{"about": {about}}.Encode(), secret, "").Code)
	}
	which := connector.LogQuery{Since: time.Unix(7, 0).UTC(), Least: slog.LevelWarn, Limit: 5}
	about, err := json.Marshal(logQuery{"c", which})
	require.NoError(t, err)
	ask := func() string {
		return s.ask(http.MethodGet, pathLogs+"?"+url.Values{"about": {string(about)}}.Encode(), secret, "").Body.String()
	}
	assert.Equal(t, "[]", ask())
	r := &runner{}
	s.runner = r
	assert.Contains(t, ask(), "1970-01-01T00:00:01Z")
	assert.Equal(t, []string{"logs c 1970-01-01 00:00:07 +0000 UTC WARN 5"}, r.asked())
}
