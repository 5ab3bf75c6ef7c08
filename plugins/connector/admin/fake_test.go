package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(documentedTests{m}) }

// documentedTests fail where an answer is not as the API's document says.
type documentedTests struct{ tests *testing.M }

func (d documentedTests) Run() int { return documented().verdict(d.tests.Run()) }

// recordedAt is when everything happened in the recording.
var recordedAt = time.Date(2026, 11, 23, 2, 52, 14, 0, time.Local)

// memory is a Manager that keeps connectors and runs none. It does what Manager's
// contract says, and what a test sets: errors, figures, a gate.
type memory struct {
	mu      sync.Mutex
	all     map[string]connector.Status
	figures map[string]connector.Figures
	past    map[string][]connector.Revision // the latest first
	gone    int                             // the greatest revision of what was deleted
	notes   []string
	// discarded is what the last update or deletion said of what waits.
	discarded bool
	probes    []connector.Probe
	// what PausedLag returns
	lag        []connector.Lag
	lagUnknown string
	preview    connector.Preview
	sample     connector.SampleMessage // of the last Preview
	logs       connector.Logs
	asked      connector.LogQuery // of the last Logs
	// what StoreReady and Warnings return
	storeErr error
	warnings []string
	hub      tail.Hub
	feeds    map[string]*tail.Feed // by connector, of those that can be tailed
	// what DeadLetters and Replay return, and what they were asked for last
	letters     kafka.LetterPage
	letterQuery kafka.LetterQuery
	replayed    kafka.Replayed
	replay      kafka.Replay
	err         error                           // of everything that changes something
	during      func(ctx context.Context) error // runs within everything that changes something
}

func newMemory() *memory {
	return &memory{all: map[string]connector.Status{}, figures: map[string]connector.Figures{}, past: map[string][]connector.Revision{}}
}

func (m *memory) begin(ctx context.Context) error {
	if m.during != nil {
		if err := m.during(ctx); err != nil {
			return err
		}
	}
	return m.err
}

func (m *memory) put(ctx context.Context, c connector.Connector, exists bool, expected connector.Expected) (connector.Result, error) {
	if err := m.begin(ctx); err != nil {
		return connector.Result{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, found := m.all[c.Name]
	switch {
	case found && !exists:
		return connector.Result{}, fmt.Errorf("creating %q: %w", c.Name, connector.ErrExists)
	case !found && exists:
		return connector.Result{}, fmt.Errorf("updating %q: %w", c.Name, connector.ErrNotFound)
	}
	if err := expected.Find(c.Name, old.Revision); found && err != nil {
		return connector.Result{}, err
	}
	s := connector.Status{
		Name: c.Name, Type: "kafka", Tenant: connector.DefaultTenant, TopicID: c.TopicID, Config: connector.RedactConfig(c.Config),
		FailureStrategy: c.FailureStrategy, Labels: c.Labels, State: connector.Waiting, CreateTime: recordedAt, UpdateTime: recordedAt,
		Revision: m.gone + 1,
	}
	if found {
		s.CreateTime, s.State, s.Revision = old.CreateTime, old.State, old.Revision+1
	}
	m.all[c.Name] = s
	c.Config = s.Config
	m.past[c.Name] = slices.Insert(m.past[c.Name], 0, connector.Revision{Number: s.Revision, Time: recordedAt, Actor: connector.ActorOf(ctx), Connector: c})
	return connector.Result{Revision: s.Revision, Notes: append([]string(nil), m.notes...)}, nil
}

func (m *memory) Create(ctx context.Context, c connector.Connector, how connector.CreateOptions) (connector.Result, error) {
	result, err := m.put(ctx, c, false, nil)
	if err == nil && how.Paused {
		err = m.set(ctx, c.Name, connector.Paused)
	}
	return result, err
}

func (m *memory) Update(ctx context.Context, c connector.Connector, how connector.UpdateOptions) (connector.Result, error) {
	m.discarded = how.DiscardWaiting
	return m.put(ctx, c, true, how.Expected)
}

func (m *memory) Rollback(ctx context.Context, name string, to int, how connector.UpdateOptions) (connector.Result, error) {
	all, err := m.History(name)
	if err != nil {
		return connector.Result{}, err
	}
	at := slices.IndexFunc(all, func(r connector.Revision) bool { return r.Number == to })
	if at < 0 {
		return connector.Result{}, &connector.InvalidError{Field: "revision", Why: fmt.Sprintf("there is no %d", to)}
	}
	return m.Update(ctx, all[at].Connector, how)
}

func (m *memory) Plan(ctx context.Context, c connector.Connector) (connector.Plan, error) {
	if err := m.begin(ctx); err != nil {
		return connector.Plan{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, found := m.all[c.Name]
	var before connector.Connector
	if found {
		before = m.past[c.Name][0].Connector
	}
	return connector.Plan{Exists: found, Revision: old.Revision, Changes: connector.Changes(before, c), Notes: m.notes}, nil
}

func (m *memory) History(name string) ([]connector.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.all[name]; !found {
		return nil, fmt.Errorf("%q: %w", name, connector.ErrNotFound)
	}
	return m.past[name], nil
}

func (m *memory) Delete(ctx context.Context, name string, how connector.DeleteOptions) (string, error) {
	if err := m.begin(ctx); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, found := m.all[name]
	if !found {
		return "", fmt.Errorf("deleting %q: %w", name, connector.ErrNotFound)
	}
	if err := how.Expected.Find(name, s.Revision); err != nil {
		return "", err
	}
	m.discarded = how.DiscardWaiting
	m.gone = max(m.gone, s.Revision)
	delete(m.all, name)
	delete(m.past, name)
	return strings.Join(m.notes, " "), nil
}

func (m *memory) set(ctx context.Context, name string, state connector.State) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, found := m.all[name]
	if !found {
		return fmt.Errorf("%q: %w", name, connector.ErrNotFound)
	}
	s.State = state
	m.all[name] = s
	return nil
}

func (m *memory) Pause(ctx context.Context, name string) (string, error) {
	return strings.Join(m.notes, " "), m.set(ctx, name, connector.Paused)
}

func (m *memory) Resume(ctx context.Context, name string) (string, error) {
	return strings.Join(m.notes, " "), m.set(ctx, name, connector.Running)
}

func (m *memory) Restart(ctx context.Context, name string) (string, error) {
	if s, _, err := m.Detail(name); err == nil && s.State == connector.Paused {
		return "", fmt.Errorf("restarting %q: %w", name, connector.ErrPaused)
	}
	return strings.Join(m.notes, " "), m.set(ctx, name, connector.Waiting)
}

func (m *memory) Logs(name string, which connector.LogQuery) (connector.Logs, error) {
	_, _, err := m.Detail(name)
	m.asked = which
	return m.logs, err
}

func (m *memory) SetLogLevel(name, level string) error {
	if _, err := connector.ParseLogLevel("level", level); err != nil {
		return err
	}
	_, _, err := m.Detail(name)
	m.logs.Level = level
	return err
}

func (m *memory) PausedLag(context.Context, string) ([]connector.Lag, string) {
	return m.lag, m.lagUnknown
}

func (m *memory) Preview(ctx context.Context, _ connector.Connector, s connector.SampleMessage) (connector.Preview, []string, error) {
	m.sample = s
	return m.preview, append([]string(nil), m.notes...), m.begin(ctx)
}

func (m *memory) Check(ctx context.Context, _ connector.Connector) ([]connector.Probe, error) {
	return m.probes, m.begin(ctx)
}

func (m *memory) Validate(connector.Connector) ([]string, error) { return m.notes, m.err }

func (m *memory) List() []connector.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []connector.Status
	for _, s := range m.all {
		all = append(all, s) // in no order: the API must not count on one
	}
	return all
}

func (m *memory) Detail(name string) (connector.Status, connector.Figures, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, found := m.all[name]
	if !found {
		return s, connector.Figures{}, fmt.Errorf("%q: %w", name, connector.ErrNotFound)
	}
	return s, m.figures[name], nil
}

func (m *memory) Tail(name string, last int) (*tail.Reader, error) {
	feed := m.feeds[name]
	if feed == nil {
		return nil, fmt.Errorf("%q: %w", name, connector.ErrNotFound)
	}
	return feed.Open(last)
}

func (m *memory) DeadLetters(_ context.Context, name string, query kafka.LetterQuery) (kafka.LetterPage, error) {
	if _, found := m.all[name]; !found {
		return kafka.LetterPage{}, fmt.Errorf("%q: %w", name, connector.ErrNotFound)
	}
	m.letterQuery = query
	return m.letters, m.err
}

func (m *memory) Replay(ctx context.Context, name string, what kafka.Replay) (kafka.Replayed, error) {
	if _, found := m.all[name]; !found {
		return kafka.Replayed{}, fmt.Errorf("%q: %w", name, connector.ErrNotFound)
	}
	m.replay = what
	return m.replayed, m.begin(ctx)
}

func (m *memory) StoreReady() error { return m.storeErr }

func (m *memory) ConnectorsReady() error {
	for _, s := range m.List() {
		if s.Reason != "" {
			return errors.New(s.Name + ": " + s.Reason)
		}
	}
	return nil
}

func (m *memory) Warnings() []string { return m.warnings }

// listening is the address of the servers of these tests that do not listen.
const listening = "127.0.0.1:58080"

func newServer(t *testing.T, m connector.Manager, options Options) *Server {
	t.Helper()
	if options.Listen == "" {
		options.Listen = listening
	}
	s, err := New(m, options)
	require.NoError(t, err)
	return s
}

// ask sends a request as robust-ctl does. Changes to it come last.
func ask(h http.Handler, method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = listening
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	documented().watch(r, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes())
	return w
}

// definitionOf is the body that creates name, with Kafka settings as a JSON object.
func definitionOf(name, config string) string {
	body, _ := json.Marshal(map[string]any{
		"connector_name": name, "connector_type": "kafka", "config": config,
		"failure_strategy": map[string]string{"strategy": "discard"}, "tenant": "default", "topic_name": "a/" + name,
	})
	return string(body)
}

const plainConfig = `{"bootstrap_servers":"localhost:9092","topic":"t"}`

func nameOf(name string) string {
	body, _ := json.Marshal(Name{Tenant: "default", ConnectorName: name})
	return string(body)
}

// read takes an answer apart and fails on anything but success.
func read[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var answer Answer[T]
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), w.Body)
	require.Equal(t, CodeOK, answer.Code)
	require.Nil(t, answer.Error)
	return answer.Data
}

// refusal is the error of an answer.
func refusal(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var answer Answer[string]
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), w.Body)
	require.Equal(t, CodeError, answer.Code)
	require.NotNil(t, answer.Error)
	return *answer.Error
}
