package control

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

const twoLines = `{"level":"debug","lines":[
	{"time":"2026-11-25T10:00:00.123456789Z","level":"info","text":"Started label=in"},
	{"time":"2026-11-25T10:00:01Z","level":"error","text":"Lost\u001b[2J error=\"no\nroute\""}],"omitted":3,"dropped":1}`

func TestLogsPrintsLines(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"logs": gives(`{"code":0,"data":` + twoLines + `,"error":null}`)})
	stdout, stderr, err := runMQTT("", "--server", server.URL, "connector", "logs", "-c", "k 1", "--since", "10m", "--level", "info", "--limit", "2")
	require.NoError(t, err)
	first := time.Date(2026, 11, 25, 10, 0, 0, 123456789, time.UTC).Local().Format("2006-01-02 15:04:05.000")
	second := time.Date(2026, 11, 25, 10, 0, 1, 0, time.UTC).Local().Format("2006-01-02 15:04:05.000")
	assert.Equal(t, first+" INFO  Started label=in\n"+second+" ERROR Lost?[2J error=\"no route\"\n", stdout)
	assert.Equal(t, "note: 3 older lines are not shown; --limit shows more\n", stderr)
	assert.Equal(t, "connector_name=k+1&level=info&limit=2&since=10m&tenant=default", server.asked()[0].query)

	stdout, _, err = runMQTT("", "--server", server.URL, "connector", "logs", "-c", "k 1", "--output", "json")
	require.NoError(t, err)
	assert.JSONEq(t, twoLines, stdout)
	assert.Equal(t, "connector_name=k+1&tenant=default", server.asked()[1].query)

	_, _, err = runMQTT("", "--server", server.URL, "connector", "logs")
	require.EqualError(t, err, "reading a connector's log: name it with --connector-name")
	_, _, err = runMQTT("", "--server", server.URL, "connector", "logs", "-c", "k", "--limit", "0")
	require.EqualError(t, err, `reading the log of connector "k": reading --limit "0": want a whole number from 1`)
	server.answers["logs"] = replay(t, "detail: unknown name")
	_, _, err = runMQTT("", "--server", server.URL, "connector", "logs", "-c", "nosuch", "-f")
	require.EqualError(t, err, `reading the log of connector "nosuch": Connector nosuch does not exist.`)
}

// Each call gets what came since the line that was printed last, until the user
// interrupts it.
func TestLogsFollowsUntilItIsInterrupted(t *testing.T) {
	noEnvironment(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	calls := 0
	server := newScripted(t, nil)
	server.answers = map[string]http.HandlerFunc{"logs": func(w http.ResponseWriter, r *http.Request) {
		switch calls++; calls {
		case 1:
			gives(`{"code":0,"data":`+twoLines+`,"error":null}`)(w, r)
		case 2:
			gives(`{"code":0,"data":{"lines":[{"time":"2026-11-25T10:00:02Z","level":"warn","text":"More"}]},"error":null}`)(w, r)
		default:
			gives(`{"code":0,"data":{"lines":[]},"error":null}`)(w, r)
			interrupt()
		}
	}}
	var out, errOut bytes.Buffer
	app := &ucli.App{Name: cli.BinaryName, Writer: &out, ErrWriter: &errOut, Commands: []*ucli.Command{Command(lintDocument)}, ExitErrHandler: func(*ucli.Context, error) {}}
	require.NoError(t, app.RunContext(ctx, []string{cli.BinaryName, "mqtt", "--server", server.URL, "connector", "logs", "-c", "c", "-f", "--output", "json", "--limit", "5"}))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3)
	assert.Equal(t, `{"time":"2026-11-25T10:00:00.123456789Z","level":"info","text":"Started label=in"}`, lines[0])
	assert.Equal(t, `{"time":"2026-11-25T10:00:02Z","level":"warn","text":"More"}`, lines[2])
	var queries []string
	for _, call := range server.asked() {
		queries = append(queries, call.query)
	}
	assert.Equal(t, []string{
		"connector_name=c&limit=5&tenant=default",
		"connector_name=c&limit=10000&since=2026-11-25T10%3A00%3A01Z&tenant=default",
		"connector_name=c&limit=10000&since=2026-11-25T10%3A00%3A02Z&tenant=default",
	}, queries)
}

func TestLogLevelIsSetByName(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"log_level": gives(successAnswer)})
	stdout, _, err := runMQTT("", "--server", server.URL, "connector", "log-level", "-c", "k3", "--level", "debug")
	require.NoError(t, err)
	assert.Equal(t, "Log level set successfully!\n", stdout)
	assert.Equal(t, map[string]any{"tenant": "default", "connector_name": "k3", "level": "debug"}, server.body(t))
	_, _, err = runMQTT("", "--server", server.URL, "connector", "log-level", "-c", "k3")
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"tenant": "default", "connector_name": "k3", "level": ""}, server.body(t))
	_, _, err = runMQTT("", "--server", server.URL, "connector", "log-level", "--level", "info")
	require.EqualError(t, err, "setting a connector's log level: name it with --connector-name")
}
