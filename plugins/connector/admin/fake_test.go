package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordedAt is when everything happened in the recording.
var recordedAt = time.Date(2026, 11, 23, 2, 52, 14, 0, time.Local)

// memory is a Manager that keeps connectors and runs none. It does what Manager's
// contract says, and what a test sets: errors, figures, a gate.
type memory struct {
	mu      sync.Mutex
	all     map[string]connector.Status
	figures map[string]connector.Figures
	notes   []string
	// discarded is what the last update said of what waits.
	discarded bool
	probes    []connector.Probe
	logs      connector.Logs
	asked     connector.LogQuery // of the last Logs
	// what StoreReady and Warnings return
	storeErr error
	warnings []string
	err      error                           // of everything that changes something
	during   func(ctx context.Context) error // runs within everything that changes something
}

func newMemory() *memory {
	return &memory{all: map[string]connector.Status{}, figures: map[string]connector.Figures{}}
}

func (m *memory) begin(ctx context.Context) error {
	if m.during != nil {
		if err := m.during(ctx); err != nil {
			return err
		}
	}
	return m.err
}

func (m *memory) put(ctx context.Context, c connector.Connector, exists bool) ([]string, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, found := m.all[c.Name]
	switch {
	case found && !exists:
		return nil, fmt.Errorf("creating %q: %w", c.Name, connector.ErrExists)
	case !found && exists:
		return nil, fmt.Errorf("updating %q: %w", c.Name, connector.ErrNotFound)
	}
	s := connector.Status{
		Name: c.Name, Type: "kafka", Tenant: connector.DefaultTenant, TopicID: c.TopicID, Config: connector.RedactConfig(c.Config),
		FailureStrategy: c.FailureStrategy, State: connector.Waiting, CreateTime: recordedAt, UpdateTime: recordedAt,
	}
	if found {
		s.CreateTime, s.State = old.CreateTime, old.State
	}
	m.all[c.Name] = s
	return append([]string(nil), m.notes...), nil
}

func (m *memory) Create(ctx context.Context, c connector.Connector, how connector.CreateOptions) ([]string, error) {
	notes, err := m.put(ctx, c, false)
	if err == nil && how.Paused {
		err = m.set(ctx, c.Name, connector.Paused)
	}
	return notes, err
}

func (m *memory) Update(ctx context.Context, c connector.Connector, how connector.UpdateOptions) ([]string, error) {
	m.discarded = how.DiscardWaiting
	return m.put(ctx, c, true)
}

func (m *memory) Delete(ctx context.Context, name string) (string, error) {
	if err := m.begin(ctx); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.all[name]; !found {
		return "", fmt.Errorf("deleting %q: %w", name, connector.ErrNotFound)
	}
	delete(m.all, name)
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

func (m *memory) Check(ctx context.Context, _ connector.Connector) ([]connector.Probe, error) {
	return m.probes, m.begin(ctx)
}

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
