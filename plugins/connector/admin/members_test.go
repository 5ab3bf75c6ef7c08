package admin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// members are what the other worker tells about the member of a connector that it runs.
type members struct {
	theirs connector.MemberStatus
	sent   int64
	lines  []connector.LogLine
	silent []string
	err    error
}

func answerOf[T any](t *testing.T, w *httptest.ResponseRecorder) (a Answer[T]) {
	t.Helper()
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a), "%s", w.Body)
	return a
}

// A connector with one member never asks: the fake would end the test.
func TestAConnectorWithMembersIsThatOfAllWorkers(t *testing.T) {
	manager := newMemory()
	workers := &twoWorkers{writes: true}
	s := newServer(t, manager, Options{Workers: workers})
	for _, name := range []string{"one", "many"} {
		require.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathCreate, definitionOf(name, plainConfig)).Code)
		manager.stand(name, connector.Running, "")
	}
	const query = "?tenant=default&connector_name="
	for _, path := range []string{PathDetail + query + "one", PathLogs + query + "one", PathReadyNames + "one"} {
		assert.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodGet, path, "").Code)
	}
	manager.mu.Lock()
	one := manager.all["many"]
	one.Parallelism = 2
	one.SetMembers([]connector.MemberStatus{{State: connector.Running}})
	manager.all["many"] = one
	manager.mu.Unlock()

	workers.members = &members{
		theirs: connector.MemberStatus{Member: 1, State: connector.Running, Worker: "http://w2"}, sent: 5,
		lines: []connector.LogLine{{Time: time.Unix(1, 0), Level: slog.LevelInfo, Text: "there"}},
	}
	detail := answerOf[Detail](t, ask(s.Handler(), http.MethodGet, PathDetail+query+"many", ""))
	assert.Equal(t, "Running", detail.Data.State)
	assert.Equal(t, int64(5), detail.Data.SendSuccessTotal)
	assert.Equal(t, placement{"http://w1", []Member{{1, "Running", "http://w1"}, {2, "Running", "http://w2"}}}, detail.Data.placement)
	const strategy = "failure strategy discard: a record that Kafka refuses is dropped; block keeps it and stops the connector there"
	assert.Equal(t, []string{strategy}, detail.Notes)
	assert.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodGet, PathReadyNames+"many", "").Code)
	logs := answerOf[Logs](t, ask(s.Handler(), http.MethodGet, PathLogs+query+"many", ""))
	assert.Equal(t, "there", logs.Data.Lines[len(logs.Data.Lines)-1].Text)
	level := func() []string {
		return answerOf[string](t, ask(s.Handler(), http.MethodPost, PathLogLevel, `{"tenant":"default","connector_name":"many","level":"debug"}`)).Notes
	}
	assert.Empty(t, level())

	workers.members.theirs = connector.MemberStatus{Member: 1, State: connector.Unknown, Reason: "it is not known", Worker: connector.UnknownWorker}
	workers.members.silent, workers.members.err = []string{"http://w2"}, errors.New("Kafka is away")
	detail = answerOf[Detail](t, ask(s.Handler(), http.MethodGet, PathDetail+query+"many", ""))
	assert.Equal(t, "Unknown", detail.Data.State)
	assert.Equal(t, Member{2, "Unknown", "unknown"}, detail.Data.Members[1])
	assert.Equal(t, []string{
		strategy,
		"the states of connectors on other workers are unknown: Kafka is away",
		"these workers do not answer, and the states of their connectors are unknown: http://w2",
	}, detail.Notes)
	w := ask(s.Handler(), http.MethodGet, PathReadyNames+"many", "")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Body.String(), "member 2 of 2: it is not known")
	assert.Equal(t, []string{
		"what other workers have logged is missing: Kafka is away",
		"these workers do not answer, and what they have logged is missing: http://w2",
	}, answerOf[Logs](t, ask(s.Handler(), http.MethodGet, PathLogs+query+"many", "")).Notes)
	assert.Equal(t, []string{"Kafka is away"}, level())
}

// A worker that runs a member told about the connector twice: as one that it runs, and as
// one that others run.
func TestAConnectorWithMembersThatIsNotReadyIsNamedOnce(t *testing.T) {
	manager := newMemory()
	workers := &twoWorkers{writes: true, statuses: map[string]connector.Status{}}
	s := newServer(t, manager, Options{Workers: workers})
	require.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathCreate, definitionOf("many", plainConfig)).Code)
	for name, tc := range map[string]struct {
		here, there connector.MemberStatus
		text        string
	}{
		"here": {
			connector.MemberStatus{State: connector.Waiting, Reason: "it waits here"},
			connector.MemberStatus{Member: 1, State: connector.Running},
			"many: member 1 of 2: it waits here",
		},
		"there": {
			connector.MemberStatus{State: connector.Running},
			connector.MemberStatus{Member: 1, State: connector.Failed, Reason: "it failed there"},
			`not ready on other workers: "many": member 2 of 2: it failed there`,
		},
		"on both": {
			connector.MemberStatus{State: connector.Waiting, Reason: "it waits here"},
			connector.MemberStatus{Member: 1, State: connector.Failed, Reason: "it failed there"},
			"many: member 1 of 2: it waits here",
		},
		"nowhere": {connector.MemberStatus{State: connector.Running}, connector.MemberStatus{Member: 1, State: connector.Running}, ""},
	} {
		manager.mu.Lock()
		one := manager.all["many"]
		one.Parallelism = 2
		whole := one
		one.SetMembers([]connector.MemberStatus{tc.here})
		whole.SetMembers([]connector.MemberStatus{tc.here, tc.there})
		manager.all["many"], workers.statuses["many"] = one, whole
		manager.mu.Unlock()
		s.others.mu.Lock()
		s.others.at = time.Time{} // it is asked again
		s.others.mu.Unlock()
		w := ask(s.Handler(), http.MethodGet, PathReadyConnectors, "")
		if tc.text == "" {
			assert.Equal(t, http.StatusOK, w.Code, name)
			continue
		}
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, name)
		assert.Equal(t, tc.text, refusal(t, w), name)
	}
}
