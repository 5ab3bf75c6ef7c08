package tests

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/audit"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// Every route of the service's own document is called without a token, with a wrong one
// and with those of too low a role: all of it is refused, and all of it is in the audit
// log.
func TestCallsWithoutTheRightRoleAreRefusedAndRecorded(t *testing.T) {
	dir := t.TempDir()
	tokens := map[string]string{}
	var entries strings.Builder
	for _, role := range []string{"read", "operate", "admin"} {
		r := program.Call(t, "", nil, program.Path(t), "token", role+"-token", "--role", role, "--output", "json")
		require.Zero(t, r.Code, r.Stderr)
		var made struct{ Token, Entry string }
		require.NoError(t, json.Unmarshal([]byte(r.Stdout), &made))
		tokens[role] = made.Token
		entries.WriteString(made.Entry)
	}
	file, log := filepath.Join(dir, "tokens.yaml"), filepath.Join(dir, "audit.log")
	require.NoError(t, os.WriteFile(file, []byte(entries.String()), 0o600))
	address := program.FreeAddress(t)
	p := program.Start(t, address, "serve", "--store", filepath.Join(dir, "store"), "--listen", address, "--mqtt-url", "tcp://127.0.0.1:1",
		"--drain-timeout", "1s", "--api-tokens-file", file, "--audit-log", log)
	p.WaitLog("msg=Serving")
	call := func(method, path, token, body string) (status int, text string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		read, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(read)
	}

	_, text := call(http.MethodGet, "/openapi.json", tokens["read"], "")
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &document), text)
	type refusal struct {
		actor, method, route string
		status               int
	}
	var want []refusal
	const body = `{"tenant":"default","connector_name":"c","config":"{\"bootstrap_servers\":\"h:1\",\"topic\":\"t\",\"password\":\"hush-hush\"}"}`
	open := []string{"/health", "/ready", "/ready/connectors"}
	for path, methods := range document.Paths {
		for name := range methods {
			method, route := strings.ToUpper(name), strings.ReplaceAll(path, "{connector_name}", "c")
			assert.NotContains(t, route, "{")
			refused := func(actor, token string, status int) {
				t.Helper()
				got, text := call(method, route, token, map[bool]string{true: body}[method == http.MethodPost])
				assert.Equal(t, status, got, "%s %s as %q: %s", method, route, actor, text)
				want = append(want, refusal{actor, method, route, status})
			}
			if slices.Contains(open, route) {
				continue
			}
			refused("", "", http.StatusUnauthorized)
			refused("", tokens["admin"]+"x", http.StatusUnauthorized)
			if method == http.MethodPost {
				refused("read-token", tokens["read"], http.StatusForbidden)
				refused("operate-token", tokens["operate"], http.StatusForbidden) // the body sets a secret
			}
		}
	}
	t.Logf("%d calls", len(want))
	assert.GreaterOrEqual(t, len(want), 40)
	assert.LessOrEqual(t, len(want), 100, "the audit log bounds the refused calls of an address: raise neither without the other")

	status, text := call(http.MethodPost, "/api/cluster/connector/delete", tokens["operate"], `{"tenant":"default","connector_name":"c"}`)
	assert.Equal(t, http.StatusOK, status, text)
	recorded, err := os.ReadFile(log)
	require.NoError(t, err)
	var got []refusal
	for line := range strings.Lines(string(recorded)) {
		var e audit.Entry
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		got = append(got, refusal{e.Actor, e.Method, e.Route, e.Status})
	}
	assert.Equal(t, append(want, refusal{"operate-token", http.MethodPost, "/api/cluster/connector/delete", http.StatusOK}), got)
	for _, secret := range []string{"hush-hush", tokens["read"], tokens["operate"], tokens["admin"]} {
		assert.NotContains(t, string(recorded), secret)
		assert.NotContains(t, p.Output(), secret)
	}
}
