package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func (m *memory) stand(name string, state connector.State, reason string) {
	s := m.all[name]
	s.State, s.Reason = state, reason
	m.all[name] = s
}

func TestReadyOfOneConnector(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	for _, name := range []string{"up", "idle", "paused", "broken", "connectors", "down/here"} {
		read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf(name, plainConfig)))
	}
	m.stand("up", connector.Running, "")
	m.stand("paused", connector.Paused, "")
	m.stand("broken", connector.Failed, "failed since 02:52: panic")
	m.stand("down/here", connector.Waiting, "Kafka does not answer")
	m.stand("connectors", connector.Waiting, "it has the name of a route")
	for path, want := range map[string]string{
		"/ready/up": "ready", "/ready?connector_name=up": "ready",
		"/ready/idle": "Connector idle is not started yet.", "/ready/paused": "Connector paused is paused.",
		"/ready/broken":      "Connector broken: failed since 02:52: panic",
		"/ready/down%2Fhere": "Connector down/here: Kafka does not answer", "/ready/down/here": "Connector down/here: Kafka does not answer",
		"/ready?connector_name=nosuch": "Connector nosuch does not exist.", "/ready/nosuch": "Connector nosuch does not exist.",
		"/ready?connector_name=connectors": "Connector connectors: it has the name of a route",
	} {
		w := ask(h, http.MethodGet, path, "")
		if want == "ready" {
			assert.Equal(t, want, read[string](t, w), path)
			continue
		}
		status := http.StatusServiceUnavailable
		if path == "/ready/nosuch" || path == "/ready?connector_name=nosuch" {
			status = http.StatusNotFound
		}
		assert.Equal(t, status, w.Code, path)
		assert.Equal(t, want, refusal(t, w), path)
	}
	assert.Equal(t, "healthy", read[string](t, ask(h, http.MethodGet, PathHealth, "")))
}

// One bad connector must not take a service out of its balancer, nor have it
// restarted.
func TestReadyIsNotAboutConnectors(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	assert.Equal(t, "ready", read[string](t, ask(h, http.MethodGet, PathReady, "")))
	assert.Equal(t, "ready", read[string](t, ask(h, http.MethodGet, PathReadyConnectors, "")))

	m.stand("c", connector.Failed, "a panic")
	assert.Equal(t, "ready", read[string](t, ask(h, http.MethodGet, PathReady, "")))
	w := ask(h, http.MethodGet, PathReadyConnectors, "")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "c: a panic", refusal(t, w))

	m.stand("c", connector.Running, "")
	m.storeErr = errors.New("writing to the store: no space left on device")
	w = ask(h, http.MethodGet, PathReady, "")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "writing to the store: no space left on device", refusal(t, w))
	assert.Equal(t, http.StatusOK, ask(h, http.MethodGet, PathReadyConnectors, "").Code)
}

func TestReadyTellsWhatAnOperatorHasToDo(t *testing.T) {
	m := newMemory()
	m.warnings = []string{"a stream goes on"}
	h := newServer(t, m, Options{TokenFile: tokenFile(t, token)}).Handler()
	var answer Answer[string]
	w := ask(h, http.MethodGet, PathReady, "", bearer("Bearer "+token))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	assert.Equal(t, Answer[string]{Data: "ready", Notes: m.warnings}, answer)
	assert.Equal(t, `{"code":0,"data":"ready","error":null}`, ask(h, http.MethodGet, PathReady, "").Body.String())
}

// A probe has no token. It learns yes or no, and no name.
func TestProbesNeedNoTokenAndLearnNoNames(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{TokenFile: tokenFile(t, token)}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("secret-name", plainConfig), bearer("Bearer "+token)))
	m.stand("secret-name", connector.Waiting, "waits for kafka.internal")
	m.storeErr = errors.New("/var/lib/secret-place is full")
	for _, path := range []string{PathReady, PathReadyConnectors} {
		for _, given := range []string{"", "Bearer wrong"} {
			w := ask(h, http.MethodGet, path, "", bearer(given))
			assert.Equal(t, http.StatusServiceUnavailable, w.Code, path)
			assert.Equal(t, "not ready: send the token to learn why", refusal(t, w), path)
		}
		w := ask(h, http.MethodGet, path, "", bearer("Bearer "+token))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, path)
		assert.Contains(t, refusal(t, w), "secret-", path)
	}
	m.storeErr = nil
	m.stand("secret-name", connector.Running, "")
	for _, path := range []string{PathReady, PathReadyConnectors, PathHealth} {
		assert.Equal(t, http.StatusOK, ask(h, http.MethodGet, path, "").Code, path)
	}
	for _, path := range []string{"/ready/secret-name", "/ready?connector_name=secret-name", "/ready?x", "/ready/"} {
		assert.Equal(t, http.StatusUnauthorized, ask(h, http.MethodGet, path, "").Code, path)
	}
}

func TestListAndDetailTellTheState(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	for name, state := range map[string]connector.State{
		"a": connector.Running, "b": connector.Waiting, "c": connector.Failed, "d": connector.Paused,
	} {
		read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf(name, plainConfig)))
		m.all[name] = reasoned(m.all[name], map[connector.State]string{connector.Waiting: "away", connector.Failed: "a panic"}[state])
		m.stand(name, state, m.all[name].Reason)
	}
	var got [][]string
	for _, row := range read[List](t, ask(h, http.MethodGet, PathList, "")).Data {
		d := read[Detail](t, ask(h, http.MethodGet, PathDetail+"?tenant=default&connector_name="+row.ConnectorName, ""))
		assert.Equal(t, row.State, d.State)
		assert.Equal(t, row.Reason, d.Reason)
		got = append(got, []string{row.ConnectorName, row.State, row.Status, row.BrokerID, row.Reason})
	}
	assert.Equal(t, [][]string{
		{"a", "Running", "Running", "1", ""},
		{"b", "Waiting", "Running", "1", "away"},
		{"c", "Failed", "Idle", "-", "a panic"},
		{"d", "Paused", "Stop", "-", ""},
	}, got)
}
