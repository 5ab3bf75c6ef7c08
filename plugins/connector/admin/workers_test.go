package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
)

const workersToken = "0123456789abcdef0123456789abcdef"

// twoWorkers are the neighbours of this worker: one other, at url.
type twoWorkers struct {
	url      string
	theirs   map[string]bool // connectors that the other one runs
	nobody   bool            // while connectors move
	writes   bool            // this worker does
	statuses map[string]connector.Status
	told     []cluster.Told
	stale    error
	forgot   error // why the coordinator does not confirm what this worker runs
	behind   bool  // the sender of a request knows of a later rebalance
	members  *members

	transport http.RoundTripper // http.DefaultTransport unless set
	places    func() (others map[string][]int, here []int, err error)
}

func (w *twoWorkers) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if !w.Knows(r.Header.Get(cluster.TokenHeader)) {
		rw.WriteHeader(http.StatusUnauthorized)
	}
}

func (w *twoWorkers) Writer(context.Context) (cluster.Place, error) {
	if w.nobody {
		return cluster.Place{}, cluster.ErrNoWriter
	}
	return cluster.Place{URL: w.url, Here: w.writes}, nil
}

func (w *twoWorkers) OwnerOf(_ context.Context, name string) (cluster.Place, error) {
	if w.nobody {
		return cluster.Place{}, cluster.ErrNoOwner
	}
	return cluster.Place{URL: w.url, Here: !w.theirs[name]}, nil
}

func (w *twoWorkers) Runs(name string, _ int) bool { return !w.theirs[name] }

func (w *twoWorkers) Statuses(context.Context) (map[string][]connector.Status, []string, error) {
	if w.statuses == nil {
		return nil, []string{w.url}, nil
	}
	told := map[string][]connector.Status{}
	for name, one := range w.statuses {
		told[name] = []connector.Status{one}
	}
	return told, nil, nil
}

func (w *twoWorkers) Logs(_ context.Context, _ string, _ connector.LogQuery, mine connector.Logs) (connector.Logs, []string, error) {
	mine.Lines = append(mine.Lines, w.members.lines...)
	return mine, w.members.silent, w.members.err
}

func (w *twoWorkers) SetLogLevel(context.Context, string, int, string) error { return w.members.err }

func (w *twoWorkers) Complete(_ context.Context, one connector.Sample) (connector.Sample, []string, error) {
	one.Worker = "http://w1"
	if one.Parallelism < 2 {
		return one, nil, nil
	}
	one.SetMembers([]connector.MemberStatus{{State: connector.Running, Worker: one.Worker}, w.members.theirs})
	one.Sent += w.members.sent
	return one, w.members.silent, w.members.err
}

func (w *twoWorkers) Told(context.Context) ([]cluster.Told, error) { return w.told, w.stale }

func (w *twoWorkers) Refresh(context.Context) error { return w.stale }
func (w *twoWorkers) Confirm(context.Context, string, int) error {
	return w.forgot
}
func (w *twoWorkers) Sign(h http.Header)      { h.Set(cluster.TokenHeader, workersToken) }
func (w *twoWorkers) Behind(http.Header) bool { return w.behind }
func (w *twoWorkers) Knows(token string) bool { return token == workersToken }

func (w *twoWorkers) MembersAt(context.Context, string, int) (others map[string][]int, here []int, err error) {
	return w.places()
}

func (w *twoWorkers) Transport() http.RoundTripper {
	if w.transport != nil {
		return w.transport
	}
	return http.DefaultTransport
}

// neighbour is another worker that records what it is asked.
func neighbour(t *testing.T, answer string) (w *twoWorkers, last func() (*http.Request, string, forwarded)) {
	t.Helper()
	var got *http.Request
	var body string
	var who forwarded
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		told, _ := base64.StdEncoding.DecodeString(r.Header.Get(forwardedHeader))
		_ = json.Unmarshal(told, &who)
		got, body = r, string(text)
		rw.Header().Set("Etag", `"7"`)
		_, _ = io.WriteString(rw, answer)
	}))
	t.Cleanup(func() {
		server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return &twoWorkers{url: server.URL, theirs: map[string]bool{"theirs": true}, writes: true}, func() (*http.Request, string, forwarded) { return got, body, who }
}

func TestACallGoesToTheWorkerThatCanAnswerIt(t *testing.T) {
	workers, last := neighbour(t, `{"code":0,"data":"success","error":null}`)
	holders := newHolders(t)
	s := newServer(t, newMemory(), Options{TokensFile: holders.file, Workers: workers})
	w := ask(s.Handler(), http.MethodPost, PathPause, nameOf("theirs"), holders.as("operate"), func(r *http.Request) { r.Header.Set("If-Match", `"3"`) })
	assert.Equal(t, `{"code":0,"data":"success","error":null}`, w.Body.String())
	assert.Equal(t, `"7"`, w.Header().Get("Etag"))
	r, body, who := last()
	assert.Equal(t, PathPause, r.URL.Path)
	assert.JSONEq(t, nameOf("theirs"), body)
	assert.Equal(t, `"3"`, r.Header.Get("If-Match"))
	assert.Equal(t, workersToken, r.Header.Get(cluster.TokenHeader))
	assert.Empty(t, r.Header.Get("Authorization"), "a caller's token stays here")
	assert.Equal(t, forwarded{Name: "operate", Role: "operate"}, who)

	// Who may not do that here may not do it there.
	w = ask(s.Handler(), http.MethodPost, PathPause, nameOf("theirs"), holders.as("read"))
	assert.Equal(t, http.StatusForbidden, w.Code)
	// What this worker runs, it answers.
	w = ask(s.Handler(), http.MethodPost, PathPause, nameOf("mine"), holders.as("operate"))
	assert.Contains(t, w.Body.String(), "does not exist")
}

func TestOnlyAWorkerSaysWhoCalls(t *testing.T) {
	holders := newHolders(t)
	s := newServer(t, newMemory(), Options{TokensFile: holders.file, Workers: &twoWorkers{}})
	alone := newServer(t, newMemory(), Options{TokensFile: holders.file})
	claim := base64.StdEncoding.EncodeToString([]byte(`{"name":"root","role":"admin","payloads":true}`))
	for name, tc := range map[string]struct {
		server        *Server
		token, caller string
		code          int
	}{
		"a worker":             {s, workersToken, claim, http.StatusOK},
		"a guess":              {s, "0123456789abcdef0123456789abcdeX", claim, http.StatusUnauthorized},
		"no token":             {s, "", claim, http.StatusUnauthorized},
		"no other workers":     {alone, workersToken, claim, http.StatusUnauthorized},
		"no caller":            {s, workersToken, "", http.StatusUnauthorized},
		"no base64":            {s, workersToken, "%", http.StatusUnauthorized},
		"no JSON":              {s, workersToken, "AAAA", http.StatusUnauthorized},
		"a role of the future": {s, workersToken, base64.StdEncoding.EncodeToString([]byte(`{"name":"x","role":"emperor"}`)), http.StatusUnauthorized},
		"no role":              {s, workersToken, base64.StdEncoding.EncodeToString([]byte(`{"name":"x"}`)), http.StatusForbidden},
	} {
		w := ask(tc.server.Handler(), http.MethodGet, PathList, "", func(r *http.Request) {
			r.Header.Set(cluster.TokenHeader, tc.token)
			r.Header.Set(forwardedHeader, tc.caller)
		})
		assert.Equal(t, tc.code, w.Code, "%s: %s", name, w.Body)
	}
	assert.Equal(t, http.StatusUnauthorized, ask(s.Handler(), http.MethodGet, cluster.PathPrefix+"statuses", "").Code)
}

func TestACallGoesOneHop(t *testing.T) {
	workers, last := neighbour(t, "")
	s := newServer(t, newMemory(), Options{Workers: workers})
	w := ask(s.Handler(), http.MethodPost, PathPause, nameOf("theirs"), fromAWorker)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Body.String(), "nothing was changed: connectors move between workers at the moment: try again soon")
	r, _, _ := last()
	assert.Nil(t, r)
}

// fromAWorker makes a request one that another worker has forwarded.
func fromAWorker(r *http.Request) {
	r.Header.Set(cluster.TokenHeader, workersToken)
	r.Header.Set(forwardedHeader, base64.StdEncoding.EncodeToString([]byte(`{"name":"x","role":"admin"}`)))
}

// A worker that was stopped for a while and goes on believes to run connectors that another
// one has. It restarted one, and said success; it deleted one, and removed the session that
// the other worker was reading.
func TestAWorkerThatWasForgottenChangesNothing(t *testing.T) {
	manager := newMemory()
	workers := &twoWorkers{writes: true}
	s := newServer(t, manager, Options{Workers: workers})
	body := definitionOf("mine", plainConfig)
	require.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathCreate, body).Code)
	const moving = "nothing was changed: connectors move between workers at the moment: try again soon"
	changes := []string{PathPause, PathResume, PathRestart, PathDelete}

	// The coordinator knows, also where the caller does not.
	workers.forgot = cluster.ErrNotOwner
	for _, path := range changes {
		w := ask(s.Handler(), http.MethodPost, path, nameOf("mine"))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, path)
		assert.Contains(t, w.Body.String(), moving, path)
	}
	w := ask(s.Handler(), http.MethodPost, PathPause, `{"tenant":"default","selector":"!nothing"}`)
	assert.Contains(t, w.Body.String(), "connectors move between workers at the moment")
	workers.forgot = errors.New("asking the coordinator: it does not answer")
	w = ask(s.Handler(), http.MethodPost, PathDelete, nameOf("mine"))
	assert.Contains(t, w.Body.String(), "nothing was changed: asking the coordinator: it does not answer")
	// A read says what is known.
	require.NoError(t, manager.set(t.Context(), "mine", connector.Running))
	w = ask(s.Handler(), http.MethodGet, PathDetail+"?tenant=default&connector_name=mine", "")
	assert.Equal(t, http.StatusOK, w.Code)

	// The caller has seen a rebalance that this worker has not.
	workers.forgot, workers.behind = nil, true
	for _, path := range changes {
		w = ask(s.Handler(), http.MethodPost, path, nameOf("mine"), fromAWorker)
		assert.Contains(t, w.Body.String(), moving, path)
	}
	w = ask(s.Handler(), http.MethodPost, PathUpdate, body, fromAWorker)
	assert.Contains(t, w.Body.String(), moving)
	w = ask(s.Handler(), http.MethodGet, PathDetail+"?tenant=default&connector_name=mine", "", fromAWorker)
	assert.Contains(t, w.Body.String(), "this may be old: connectors move between workers at the moment")
	assert.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathPause, nameOf("mine")).Code, "nobody has forwarded it")
	workers.behind = false
	assert.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathDelete, nameOf("mine"), fromAWorker).Code)
}

func TestWithoutAnOwnerNothingIsChanged(t *testing.T) {
	manager := newMemory()
	s := newServer(t, manager, Options{Workers: &twoWorkers{nobody: true}})
	alone := newServer(t, manager, Options{})
	body := definitionOf("a", plainConfig)
	w := ask(s.Handler(), http.MethodPost, PathCreate, body)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Body.String(), "nothing was changed: no worker writes the store at the moment: try again soon")
	assert.Equal(t, http.StatusOK, ask(alone.Handler(), http.MethodPost, PathCreate, body).Code)
	w = ask(s.Handler(), http.MethodPost, PathDelete, nameOf("a"))
	assert.Contains(t, w.Body.String(), "nothing was changed: no worker runs the connector at the moment")
	// What does not exist needs no owner.
	w = ask(s.Handler(), http.MethodPost, PathDelete, nameOf("b"))
	assert.Contains(t, w.Body.String(), "Connector b does not exist.")
	// A read tells what is known.
	require.NoError(t, manager.set(t.Context(), "a", connector.Running))
	w = ask(s.Handler(), http.MethodGet, PathDetail+"?tenant=default&connector_name=a", "")
	assert.Contains(t, w.Body.String(), "this may be old: no worker runs the connector at the moment")
}

// Another worker may have created what this one does not know yet.
func TestWhatIsMissingInAnOldViewIsNotSaidToBeMissing(t *testing.T) {
	workers := &twoWorkers{writes: true, stale: errors.New("Kafka does not answer")}
	s := newServer(t, newMemory(), Options{Workers: workers})
	w := ask(s.Handler(), http.MethodPost, PathDelete, nameOf("a"))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Body.String(), "nothing was changed: Kafka does not answer: try again soon")
	assert.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathCreate, definitionOf("a", plainConfig)).Code, "it is judged by who makes it")
	assert.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathDelete, nameOf("a")).Code)
	workers.stale = nil
	w = ask(s.Handler(), http.MethodPost, PathDelete, nameOf("a"))
	assert.Contains(t, w.Body.String(), "Connector a does not exist.")
}

func TestAWorkerThatDoesNotAnswerIsNamed(t *testing.T) {
	workers := &twoWorkers{url: "http://127.0.0.1:1", theirs: map[string]bool{"theirs": true}}
	s := newServer(t, newMemory(), Options{Workers: workers})
	w := ask(s.Handler(), http.MethodPost, PathPause, nameOf("theirs"))
	assert.Equal(t, http.StatusBadGateway, w.Code)
	assert.Contains(t, w.Body.String(), "nothing was changed: the worker http://127.0.0.1:1 cannot be reached")
	w = ask(s.Handler(), http.MethodGet, PathDetail+"?tenant=default&connector_name=theirs", "")
	assert.Contains(t, w.Body.String(), "the worker http://127.0.0.1:1 does not answer")

	broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer broken.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	workers.url = broken.URL
	w = ask(s.Handler(), http.MethodPost, PathPause, nameOf("theirs"))
	assert.Contains(t, w.Body.String(), "the result is unknown: the worker "+broken.URL+" has not answered")
}

func TestAListHasTheStatesOfOtherWorkers(t *testing.T) {
	manager := newMemory()
	workers := &twoWorkers{url: "http://w2", theirs: map[string]bool{"theirs": true}, writes: true}
	s := newServer(t, manager, Options{Workers: workers})
	for _, name := range []string{"mine", "theirs"} {
		body := definitionOf(name, plainConfig)
		require.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathCreate, body).Code)
	}
	rows := func() (List, []string) {
		var a Answer[List]
		require.NoError(t, json.Unmarshal(ask(s.Handler(), http.MethodGet, PathList+"?sort_field=connector_name&sort_by=asc", "").Body.Bytes(), &a))
		return a.Data, a.Notes
	}
	list, notes := rows()
	require.Len(t, list.Data, 2)
	assert.NotEqual(t, "Unknown", list.Data[0].State)
	assert.Equal(t, "Unknown", list.Data[1].State)
	assert.Contains(t, notes, "these workers do not answer, and the states of their connectors are unknown: http://w2")

	one, _, err := manager.Detail("theirs")
	require.NoError(t, err)
	one.State, one.Reason = connector.Failed, "it is broken there"
	workers.statuses = map[string]connector.Status{"theirs": one}
	list, notes = rows()
	assert.Equal(t, "Failed", list.Data[1].State)
	assert.Empty(t, notes)
	workers.stale = errors.New("Kafka does not answer")
	_, notes = rows()
	assert.Equal(t, []string{"this may be old: Kafka does not answer"}, notes)
}

func TestReadinessIsThatOfTheConnectorsOfAllWorkers(t *testing.T) {
	manager := newMemory()
	workers := &twoWorkers{url: "http://w2", theirs: map[string]bool{"theirs": true}, writes: true}
	holders := newHolders(t)
	s := newServer(t, manager, Options{TokensFile: holders.file, Workers: workers})
	for _, name := range []string{"mine", "theirs"} {
		require.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodPost, PathCreate, definitionOf(name, plainConfig), holders.as("operate")).Code)
		manager.stand(name, connector.Running, "")
	}
	tells := func(code int, text string) {
		t.Helper()
		s.others.mu.Lock()
		s.others.at = time.Time{} // it is asked again
		s.others.mu.Unlock()
		w := ask(s.Handler(), http.MethodGet, PathReadyConnectors, "", holders.as("read"))
		assert.Equal(t, code, w.Code)
		assert.Contains(t, w.Body.String(), text)
	}
	tells(http.StatusServiceUnavailable, `not ready on other workers: \"theirs\": another worker runs it, or none at the moment, and its state is not known here, these workers do not answer`)
	one, _, err := manager.Detail("theirs")
	require.NoError(t, err)
	workers.statuses = map[string]connector.Status{"theirs": one}
	tells(http.StatusOK, "ready")
	one.State, one.Reason = connector.Failed, "it is broken there"
	workers.statuses = map[string]connector.Status{"theirs": one}
	// What they have told a moment ago is used, so that nobody makes workers ask each other.
	s.others.mu.Lock()
	s.others.at = time.Now().Add(time.Hour)
	s.others.mu.Unlock()
	w := ask(s.Handler(), http.MethodGet, PathReadyConnectors, "")
	assert.Equal(t, http.StatusOK, w.Code)
	tells(http.StatusServiceUnavailable, `\"theirs\": it is broken there`)
	w = ask(s.Handler(), http.MethodGet, PathReadyConnectors, "")
	assert.NotContains(t, w.Body.String(), "theirs", "who has no token learns no names")
	one.State = connector.Paused
	workers.statuses = map[string]connector.Status{"theirs": one}
	tells(http.StatusOK, "ready")
}

// Whoever may read sees every worker; of one that does not answer, that is all.
func TestWorkersAreListed(t *testing.T) {
	at := time.Unix(1764000000, 0)
	w := &twoWorkers{told: []cluster.Told{
		{URL: "http://a:1", Self: true, Connectors: 7, Membership: connector.Membership{
			Workers: 2, Partitions: 32, Writer: true, Confirmed: true, Rebalances: 3, LastRebalance: at, Took: 1500 * time.Millisecond,
		}},
		{URL: "http://b:1", Silent: true},
	}}
	h := newServer(t, newMemory(), Options{Workers: w}).Handler()
	answer := ask(h, http.MethodGet, PathWorkers, "")
	assert.JSONEq(t, `{"code":0,"error":null,"data":[
		{"url":"http://a:1","this_worker":true,"answers":true,"confirmed":true,"writes_store":true,"connectors":7,"partitions":32,
		 "rebalances":3,"last_rebalance_time":1764000000,"last_rebalance_ms":1500},
		{"url":"http://b:1","this_worker":false,"answers":false,"confirmed":false,"writes_store":false,"connectors":0,"partitions":0,
		 "rebalances":0,"last_rebalance_time":0,"last_rebalance_ms":0}]}`, answer.Body.String())

	w.told, w.stale = w.told[:1], errors.New("no coordinator")
	answer = ask(h, http.MethodGet, PathWorkers, "")
	assert.Contains(t, answer.Body.String(), "the other workers are not known: no coordinator")
	assert.Contains(t, answer.Body.String(), `"url":"http://a:1"`)

	alone := ask(newServer(t, newMemory(), Options{}).Handler(), http.MethodGet, PathWorkers, "")
	assert.Contains(t, alone.Body.String(), `"data":[]`)
	assert.Contains(t, alone.Body.String(), "shares its connectors with no other one")
}
