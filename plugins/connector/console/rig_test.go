package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	listening = "127.0.0.1:58080"
	goodToken = "a-token-of-the-tests"
)

// fleet is a Manager that keeps connectors and runs none. What the console does not
// call is not there.
type fleet struct {
	connector.Manager
	mu    sync.Mutex
	all   map[string]connector.Sample
	given []string // each change, as verb and name
	wrong error    // of Validate
	fails error    // of each change
	notes []string

	letters     kafka.LetterPage
	letterQuery kafka.LetterQuery
	replays     []kafka.Replay
}

func (f *fleet) did(verb, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.given = append(f.given, verb+" "+name)
	if f.fails != nil {
		return f.fails
	}
	if _, ok := f.all[name]; !ok && verb != "create" {
		return fmt.Errorf("%s %q: %w", verb, name, connector.ErrNotFound)
	}
	return nil
}

func (f *fleet) changes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.given...)
}

func (f *fleet) put(c connector.Connector, state connector.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.all[c.Name]
	s.Status = connector.Status{
		Name: c.Name, Type: "kafka", Tenant: "default", TopicID: c.TopicID, Config: connector.RedactConfig(c.Config),
		FailureStrategy: c.FailureStrategy, State: state, Revision: s.Revision + 1, Labels: c.Labels,
	}
	f.all[c.Name] = s
}

func (f *fleet) Create(_ context.Context, c connector.Connector, how connector.CreateOptions) (connector.Result, error) {
	if err := f.did("create", c.Name); err != nil {
		return connector.Result{}, err
	}
	state := connector.Running
	if how.Paused {
		state = connector.Paused
	}
	f.put(c, state)
	return connector.Result{Revision: 1, Notes: f.notes}, nil
}

func (f *fleet) Update(_ context.Context, c connector.Connector, how connector.UpdateOptions) (connector.Result, error) {
	if err := f.did("update"+discarding(how.DiscardWaiting), c.Name); err != nil {
		return connector.Result{}, err
	}
	f.mu.Lock()
	revision := f.all[c.Name].Revision
	f.mu.Unlock()
	if err := how.Expected.Find(c.Name, revision); err != nil {
		return connector.Result{}, err
	}
	f.put(c, connector.Running)
	return connector.Result{Revision: revision + 1, Notes: f.notes}, nil
}

// discarding is added to the verb of a change that discards what waits.
func discarding(discard bool) string {
	if discard {
		return ", discarding what waits"
	}
	return ""
}

func (f *fleet) Delete(_ context.Context, name string, how connector.DeleteOptions) (string, error) {
	if err := f.did("delete"+discarding(how.DiscardWaiting), name); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := how.Expected.Find(name, f.all[name].Revision); err != nil {
		return "", err
	}
	delete(f.all, name)
	return "", nil
}

func (f *fleet) Pause(_ context.Context, name string) (string, error) {
	return "", f.did("pause", name)
}

func (f *fleet) Resume(_ context.Context, name string) (string, error) {
	return "", f.did("resume", name)
}

func (f *fleet) Restart(_ context.Context, name string) (string, error) {
	return "", f.did("restart", name)
}

func (f *fleet) Rollback(_ context.Context, name string, to int, how connector.UpdateOptions) (connector.Result, error) {
	if err := how.Expected.Find(name, 1); err != nil {
		return connector.Result{}, err
	}
	return connector.Result{Revision: 2}, f.did(fmt.Sprintf("rollback %d", to)+discarding(how.DiscardWaiting), name)
}

func (f *fleet) History(name string) ([]connector.Revision, error) {
	c, err := connector.Parse([]byte(definitionText(name, `{"bootstrap_servers":"b:9092","topic":"new"}`)))
	if err != nil {
		return nil, err
	}
	old, err := connector.Parse([]byte(definitionText(name, `{"bootstrap_servers":"b:9092","topic":"old"}`)))
	return []connector.Revision{{Number: 2, Connector: c, Actor: "ada"}, {Number: 1, Connector: old}}, err
}

func (f *fleet) Validate(connector.Connector) ([]string, error) { return f.notes, f.wrong }

func (f *fleet) Check(context.Context, connector.Connector) ([]connector.Probe, error) {
	return []connector.Probe{{End: "mqtt"}, {End: "kafka", Error: "dial tcp: connection refused"}}, nil
}

func (f *fleet) Detail(name string) (connector.Status, connector.Figures, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.all[name]
	if !ok {
		return connector.Status{}, connector.Figures{}, fmt.Errorf("%q: %w", name, connector.ErrNotFound)
	}
	return s.Status, s.Figures, nil
}

func (f *fleet) Logs(name string, _ connector.LogQuery) (connector.Logs, error) {
	return connector.Logs{Lines: []connector.LogLine{{Time: time.Unix(0, 0), Text: "a line of " + name}}}, nil
}
func (f *fleet) SetLogLevel(name, level string) error { return f.did("level "+level, name) }
func (f *fleet) StoreReady() error                    { return nil }
func (f *fleet) ConnectorsReady() error               { return nil }
func (f *fleet) Warnings() []string                   { return []string{"a warning of the service"} }

func (f *fleet) samples() []connector.Sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []connector.Sample
	for _, s := range f.all {
		s.Config = nil
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b connector.Sample) int { return strings.Compare(a.Name, b.Name) })
	return all
}

const plainConfig = `{"bootstrap_servers":"localhost:9092","topic":"t"}`

func definitionText(name, config string) string {
	text, _ := json.Marshal(map[string]any{
		"connector_name": name, "connector_type": "kafka", "config": json.RawMessage(config), "tenant": "default",
		"topic_name": "a/#", "failure_strategy": map[string]string{"strategy": "block"},
	})
	return string(text)
}

// rig is a console over a fleet.
type rig struct {
	t       *testing.T
	fleet   *fleet
	api     *admin.Server
	console *Console
	secure  bool
	// cookie and form are those of the browser that rig plays.
	cookie *http.Cookie
	form   string
}

func newRig(t *testing.T, options admin.Options) *rig {
	t.Helper()
	f := &fleet{all: map[string]connector.Sample{}}
	if options.Listen == "" {
		options.Listen = listening
	}
	api, err := admin.New(f, options)
	require.NoError(t, err)
	c := New(Options{API: api, Samples: f.samples, Version: "v1"})
	api.Mount(c)
	t.Cleanup(func() {
		for _, one := range c.sessions.all {
			c.sessions.remove(one)
		}
	})
	return &rig{t: t, fleet: f, api: api, console: c}
}

// add lets the fleet have a connector.
func (r *rig) add(name, config string, change ...func(*connector.Sample)) {
	r.t.Helper()
	c, err := connector.Parse([]byte(definitionText(name, config)))
	require.NoError(r.t, err)
	r.fleet.put(c, connector.Running)
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	s := r.fleet.all[name]
	for _, f := range change {
		f(&s)
	}
	r.fleet.all[name] = s
	r.console.history.forget()
}

// withTokens is an API that asks for the token of the tests.
func withTokens(t *testing.T) admin.Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(goodToken), 0o600))
	return admin.Options{TokenFile: path}
}

func (r *rig) ask(method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r.t.Helper()
	scheme := "http"
	if r.secure {
		scheme = "https"
	}
	q := httptest.NewRequest(method, scheme+"://"+listening+target, strings.NewReader(body))
	if method == http.MethodPost {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if r.cookie != nil {
		q.AddCookie(r.cookie)
	}
	for _, f := range change {
		f(q)
	}
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, q)
	for _, cookie := range w.Result().Cookies() {
		r.cookie = cookie
	}
	if found := formToken.FindStringSubmatch(w.Body.String()); found != nil {
		r.form = found[1]
	}
	return w
}

var formToken = regexp.MustCompile(`name="form_token" value="([^"]+)"`)

func (r *rig) get(target string) *httptest.ResponseRecorder {
	r.t.Helper()
	return r.ask(http.MethodGet, target, "")
}

// send posts a form of the page that was got last.
func (r *rig) send(target string, values url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r.t.Helper()
	if values == nil {
		values = url.Values{}
	}
	if !values.Has("form_token") {
		values.Set("form_token", r.form)
	}
	return r.ask(http.MethodPost, target, values.Encode(), change...)
}

func (r *rig) login(token string) *httptest.ResponseRecorder {
	r.t.Helper()
	r.get(pathLogin)
	return r.send(pathLogin, url.Values{"token": {token}})
}

// loggedIn is a browser with a session that has loaded a page.
func loggedIn(t *testing.T, options admin.Options) *rig {
	t.Helper()
	r := newRig(t, options)
	require.Equal(t, http.StatusSeeOther, r.login(goodToken).Code)
	require.Equal(t, http.StatusOK, r.get(root).Code)
	return r
}
