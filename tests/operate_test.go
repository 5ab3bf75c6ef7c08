package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// connector runs a command for connectors of the service.
func (g *gitops) connector(args ...string) program.Result {
	g.t.Helper()
	return program.Call(g.t, "", []string{"ROBUSTMQ_API_URL=" + g.server}, program.Path(g.t), append([]string{"mqtt", "connector"}, args...)...)
}

func (g *gitops) must(args ...string) string {
	g.t.Helper()
	r := g.connector(args...)
	require.Zero(g.t, r.Code, "%v: %s", args, r.Stderr)
	return r.Stdout
}

// states are those of all connectors by name.
func (g *gitops) states(selector ...string) map[string]string {
	g.t.Helper()
	var list admin.List
	require.NoError(g.t, json.Unmarshal([]byte(g.must(append([]string{"list", "--output", "json"}, selector...)...)), &list))
	states := map[string]string{}
	for _, row := range list.Data {
		states[row.ConnectorName] = row.State
	}
	return states
}

func (g *gitops) until(want map[string]string) {
	g.t.Helper()
	require.Eventually(g.t, func() bool { return assert.ObjectsAreEqual(want, g.states()) }, exampleTimeout, 100*time.Millisecond, "%v", want)
}

// The program's own commands, against the program's own service.
func TestAnOperatorActsOnConnectorsByTheirLabels(t *testing.T) {
	g := newGitops(t)
	for name, labels := range map[string]string{"n1": "site=north", "n2": "site=north,stage=test", "s1": "site=south"} {
		config, err := json.Marshal(map[string]string{"bootstrap_servers": g.kafka, "topic": "out", "key": `${! json("id") }`})
		require.NoError(t, err)
		g.must("create", "-n", name, "--config", string(config), "--topic-id", name+"/#", "--labels", labels)
	}
	g.until(map[string]string{"n1": "Running", "n2": "Running", "s1": "Running"})
	assert.Equal(t, map[string]string{"n1": "Running", "n2": "Running"}, g.states("-l", "site=north"))
	assert.Contains(t, g.must("detail", "-c", "n2"), `{"site":"north","stage":"test"}`)

	g.must("pause", "-l", "site=north,!stage")
	g.until(map[string]string{"n1": "Paused", "n2": "Running", "s1": "Running"})
	r := g.connector("restart", "--selector", "site")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stdout, "Connector n1 is paused: resume it.")
	assert.Contains(t, r.Stderr, "restarting the connectors site: 1 of 3 failed")
	g.must("resume", "-c", "n1")
	g.must("restart", "-c", "n1")
	g.until(map[string]string{"n1": "Running", "n2": "Running", "s1": "Running"})

	g.must("update", "-n", "s1", "--labels", "site=north")
	g.must("delete", "-l", "site=north,stage!=test")
	assert.Equal(t, map[string]string{"n2": "Running"}, g.states())
}

func TestAnOperatorSeesWhatAConnectorLogsAndWouldWrite(t *testing.T) {
	g := newGitops(t)
	config := `{"bootstrap_servers":"` + g.kafka + `","topic":"out","key":"${! json(\"id\") }","urls":["tcp://127.0.0.1:1"],"username":"ada","password":"hush-hush"}`
	g.must("create", "-n", "c", "--config", config, "--topic-id", "in/+")
	require.Eventually(t, func() bool { return strings.Contains(g.must("logs", "-c", "c"), "127.0.0.1:1") },
		30*time.Second, 100*time.Millisecond, "its broker is away, and it does not log so")
	g.must("log-level", "-c", "c", "--level", "debug")
	var logs admin.Logs
	require.NoError(t, json.Unmarshal([]byte(g.must("logs", "-c", "c", "--output", "json", "--limit", "1")), &logs))
	assert.Equal(t, "debug", logs.Level)
	require.Len(t, logs.Lines, 1)
	assert.NotContains(t, g.must("logs", "-c", "c", "--limit", "10000"), "hush-hush")
	r := g.connector("logs", "-c", "c", "--level", "loud")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, `level: "loud" is unknown`)

	// The service's connector, without its broker; then with another key.
	out := g.must("preview", "-n", "c", "--topic", "in/1", "--payload", `{"id":"k-7"}`, "--partitions", "1")
	assert.Regexp(t, `\| topic +\| out +\|\n\| partition +\| 0 +\|\n\| key +\| k-7 +\|`, out)
	assert.Contains(t, out, `"topic":"in/1"`)
	assert.NotContains(t, out, "hush-hush")
	r = g.connector("preview", "-n", "c", "--topic", "in/1", "--payload", `no JSON`)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "config.key: evaluating field key: ")
	r = g.connector("preview", "-n", "c", "--topic", "elsewhere", "--payload", `{}`)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, `message.topic: "elsewhere" does not match the topic filter "in/+"`)
}

func TestAServiceDescribesItsAPI(t *testing.T) {
	g := newGitops(t)
	answer, err := http.Get("http://" + g.server + admin.PathOpenAPI)
	require.NoError(t, err)
	defer answer.Body.Close()
	var document struct {
		OpenAPI string
		Info    struct{ Version string }
		Paths   map[string]any
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&document))
	assert.Equal(t, "3.1.0", document.OpenAPI)
	assert.NotEmpty(t, document.Info.Version)
	assert.Len(t, document.Paths, len(admin.Paths()))
}
