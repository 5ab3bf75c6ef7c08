package admin

import (
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func logsOf(name string, more ...string) string {
	q := url.Values{"tenant": {"default"}, "connector_name": {name}}
	for i := 0; i < len(more); i += 2 {
		q.Add(more[i], more[i+1])
	}
	return PathLogs + "?" + q.Encode()
}

func TestLogsAreReadSinceATimeFromALevelOn(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	assert.Equal(t, `{"code":0,"data":{"level":"","lines":[],"omitted":0,"dropped":0},"error":null}`, ask(h, http.MethodGet, logsOf("c"), "").Body.String())
	assert.Equal(t, connector.LogQuery{Least: slog.LevelDebug, Limit: 100}, m.asked)

	at := time.Date(2026, 11, 25, 10, 0, 0, 1, time.FixedZone("", 3600))
	m.logs = connector.Logs{Level: "warn", Omitted: 3, Dropped: 4, Lines: []connector.LogLine{{Time: at, Level: slog.LevelError, Text: "at mqtt://ada:pw@b: no"}}}
	w := ask(h, http.MethodGet, logsOf("c", "since", "2026-11-25T10:00:00.5+01:00", "limit", "7", "level", "WARN"), "")
	assert.Equal(t, Logs{
		Level: "warn", Omitted: 3, Dropped: 4,
		Lines: []LogLine{{Time: "2026-11-25T09:00:00.000000001Z", Level: "error", Text: "at mqtt://***@b: no"}},
	}, read[Logs](t, w))
	assert.Equal(t, connector.LogQuery{Since: m.asked.Since, Least: slog.LevelWarn, Limit: 7}, m.asked)
	assert.True(t, m.asked.Since.Equal(time.Date(2026, 11, 25, 9, 0, 0, 5e8, time.UTC)))

	read[Logs](t, ask(h, http.MethodGet, logsOf("c", "since", "10m"), ""))
	assert.WithinDuration(t, time.Now().Add(-10*time.Minute), m.asked.Since, time.Minute)

	for target, want := range map[string]string{
		logsOf("nosuch"):                        "Connector nosuch does not exist.",
		logsOf("c", "since", "monday"):          `Parameter validation failed: since: "monday" is neither a time, 2026-11-25T10:00:00Z for example, nor a duration, 10m for example`,
		logsOf("c", "since", "-10m"):            `Parameter validation failed: since: "-10m" is neither a time, 2026-11-25T10:00:00Z for example, nor a duration, 10m for example`,
		logsOf("c", "limit", "10001"):           "Parameter validation failed: limit must be between 1-10000",
		logsOf("c", "level", "verbose"):         `Parameter validation failed: level: "verbose" is unknown; must be one of debug, info, warn, error`,
		PathLogs + "?tenant=x&connector_name=c": `Parameter validation failed: tenant: "x" does not exist: there is one, default`,
	} {
		assert.Equal(t, want, refusal(t, ask(h, http.MethodGet, target, "")), target)
	}
	for target, want := range map[string]string{
		logsOf("c", "limit", "-1"):              "Failed to deserialize query string: limit: \"-1\" is not a number from 0 to 4294967295",
		logsOf("c", "level", "a", "level", "b"): "Failed to deserialize query string: duplicate field `level`",
		PathLogs + "?tenant=default":            "Failed to deserialize query string: missing field `connector_name`",
	} {
		w := ask(h, http.MethodGet, target, "")
		assert.Equal(t, http.StatusBadRequest, w.Code)
		assert.Equal(t, want, w.Body.String(), target)
	}
}

func TestTheLogLevelIsSetByName(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	assert.Equal(t, Success, read[string](t, ask(h, http.MethodPost, PathLogLevel, `{"tenant":"default","connector_name":"c","level":"debug"}`)))
	assert.Equal(t, "debug", m.logs.Level)
	assert.Equal(t, Success, read[string](t, ask(h, http.MethodPost, PathLogLevel, `{"tenant":"default","connector_name":"c","level":""}`)))
	assert.Empty(t, m.logs.Level)
	for body, want := range map[string]string{
		`{"tenant":"default","connector_name":"c","level":"all"}`:  `Parameter validation failed: level: "all" is unknown; must be one of debug, info, warn, error`,
		`{"tenant":"default","connector_name":"c","level":7}`:      "Parameter validation failed: level must be a string",
		`{"tenant":"default","connector_name":"d","level":"info"}`: "Connector d does not exist.",
		`{"tenant":"default","connector_name":"c"}`:                "JSON parsing failed: Failed to deserialize the JSON body into the target type: missing field `level` at line 1 column 41",
		`{"tenant":"default","level":"info"}`:                      "JSON parsing failed: Failed to deserialize the JSON body into the target type: missing field `connector_name` at line 1 column 35",
	} {
		assert.Equal(t, want, refusal(t, ask(h, http.MethodPost, PathLogLevel, body)), body)
	}
}

func TestRestartOfAPausedConnectorAdvisesResume(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	m.notes = []string{"its stream goes on"}
	w := ask(h, http.MethodPost, PathRestart, nameOf("c"))
	assert.Equal(t, `{"code":0,"data":"success","error":null,"notes":["its stream goes on"]}`, w.Body.String())
	require.Equal(t, connector.Waiting, m.all["c"].State)
	read[string](t, ask(h, http.MethodPost, PathPause, nameOf("c")))
	w = ask(h, http.MethodPost, PathRestart, nameOf("c"))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "Connector c is paused: resume it.", refusal(t, w))
	assert.Equal(t, "Connector d does not exist.", refusal(t, ask(h, http.MethodPost, PathRestart, nameOf("d"))))
}
