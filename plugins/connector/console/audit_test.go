package console

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/audit"
)

func TestTheAuditLogHasTheCallsOfAPageAndTheLoginsThatFailed(t *testing.T) {
	var text bytes.Buffer
	log, err := audit.Open("-", &text, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	options := withTokens(t)
	options.Audit = log
	taken := func() (all []audit.Entry) {
		for line := range strings.Lines(text.String()) {
			var e audit.Entry
			require.NoError(t, json.Unmarshal([]byte(line), &e))
			e.Time = time.Time{}
			all = append(all, e)
		}
		assert.NotContains(t, text.String(), goodToken)
		text.Reset()
		return all
	}
	const from = "192.0.2.1:1234" // httptest's

	r := newRig(t, options)
	assert.Equal(t, http.StatusUnauthorized, r.login("guessed").Code)
	assert.Equal(t, []audit.Entry{{Address: from, Method: "POST", Route: pathLogin, Status: 401, Code: 100, Error: "the token is not accepted"}}, taken())
	require.Equal(t, http.StatusSeeOther, r.login(goodToken).Code)
	r.get(root)
	assert.Empty(t, taken(), "who looks changes nothing")
	r.add("c", plainConfig)
	require.Equal(t, http.StatusSeeOther, r.send(pathAction, url.Values{"name": {"c"}, "verb": {"pause"}}).Code)
	r.ask(http.MethodPost, pathAPI+"cluster/connector/delete", `{"tenant":"default","connector_name":"c"}`, func(q *http.Request) { q.Header.Set("X-Form-Token", r.form) })
	want := audit.Entry{Actor: "api-token-file", Address: from, Method: "POST", Route: admin.PathPause, Connector: "c", Status: 200}
	forwarded := want
	forwarded.Route = admin.PathDelete
	assert.Equal(t, []audit.Entry{want, forwarded}, taken())
	r.ask(http.MethodGet, root, "", func(r *http.Request) { r.Host = "evil.example" })
	all := taken()
	require.Len(t, all, 1)
	assert.Equal(t, http.StatusForbidden, all[0].Status)
	assert.Equal(t, root, all[0].Route)
}
