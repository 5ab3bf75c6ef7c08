package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/audit"
)

// auditing is an audit log that a test reads back.
type auditing struct {
	t    *testing.T
	text bytes.Buffer
	log  *audit.Log
}

func newAuditing(t *testing.T) *auditing {
	a := &auditing{t: t}
	var err error
	a.log, err = audit.Open("-", &a.text, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return a
}

// taken are the entries since it was asked last, with their times looked at and gone.
func (a *auditing) taken() (all []audit.Entry) {
	a.t.Helper()
	for line := range strings.Lines(a.text.String()) {
		var e audit.Entry
		require.NoError(a.t, json.Unmarshal([]byte(line), &e), line)
		assert.WithinDuration(a.t, time.Now(), e.Time, time.Minute)
		e.Time = time.Time{}
		all = append(all, e)
	}
	a.text.Reset()
	return all
}

const from = "192.0.2.1:1234" // httptest's

func TestEveryRouteThatChangesSomethingIsRecorded(t *testing.T) {
	all, a := newHolders(t), newAuditing(t)
	s := newServer(t, newMemory(), Options{TokensFile: all.file, Audit: a.log})
	openRoutes(s)
	h := s.Handler()
	changing, reading, refusedBy := 0, 0, 0
	var dry []string
	for path, route := range s.paths {
		if route.dry {
			dry = append(dry, path)
		}
		if route.method == http.MethodGet || route.dry {
			reading++
			ask(h, route.method, path+"?connector_name=c", map[bool]string{true: nameOf("c")}[route.dry], all.as("admin-payloads"))
			assert.Empty(t, a.taken(), path)
		} else {
			changing++
			ask(h, route.method, path, nameOf("c"), all.as("admin-payloads"), func(r *http.Request) { r.Header.Set("If-Match", `"7"`) })
			assert.Equal(t, []audit.Entry{{
				Actor: "admin-payloads", Address: from, Method: route.method, Route: path, Connector: "c", IfMatch: `"7"`, Status: 200,
			}}, a.taken(), path)
		}
		if route.role == anyone {
			continue
		}
		refusedBy++
		ask(h, route.method, path+"?connector_name=c", "", bearer("Bearer nobody's"))
		assert.Equal(t, []audit.Entry{{
			Address: from, Method: route.method, Route: path, Connector: "c", Status: 401, Code: 100,
			Error: "this needs the header Authorization: Bearer TOKEN with a token of --api-token-file or --api-tokens-file",
		}}, a.taken(), path)
		if route.role == operator {
			ask(h, route.method, path, nameOf("c"), all.as("read"))
			assert.Equal(t, []audit.Entry{{
				Actor: "read", Address: from, Method: route.method, Route: path, Connector: "c", Status: 403, Code: 100,
				Error: path + ` needs the role operate or admin, and "read" has the role read`,
			}}, a.taken(), path)
		}
	}
	assert.ElementsMatch(t, []string{PathPreview, PathPlan, PathValidate}, dry, "whatever else is sent by POST changes something, or uses stored secrets")
	assert.GreaterOrEqual(t, changing, 9)
	assert.GreaterOrEqual(t, reading, 6)
	assert.GreaterOrEqual(t, refusedBy, 10)

	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Host = "evil.example" }, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		ask(h, http.MethodPost, PathDelete, nameOf("c"), all.as("admin"), change)
		got := a.taken()
		require.Len(t, got, 1)
		assert.Equal(t, http.StatusForbidden, got[0].Status)
		assert.Empty(t, got[0].Actor)
	}
	ask(h, http.MethodPost, PathList, "", all.as("admin"))
	ask(h, http.MethodGet, PathDelete, "", all.as("admin"))
	ask(h, http.MethodGet, "/nowhere", "", all.as("admin"))
	assert.Empty(t, a.taken(), "what has no effect and is not refused for who sends it is not recorded")
}

func TestTheAuditLogHoldsResultsAndNoSecret(t *testing.T) {
	all, a := newHolders(t), newAuditing(t)
	m := newMemory()
	h := newServer(t, m, Options{TokensFile: all.file, Audit: a.log}).Handler()
	literal := definitionOf("c", `{"bootstrap_servers":"h:1","topic":"t","sasl":[{"mechanism":"PLAIN","username":"u","password":"hush-hush"}]}`)
	entry := func(actor, path, name string, status int, text string) audit.Entry {
		e := audit.Entry{Actor: actor, Address: from, Method: http.MethodPost, Route: path, Connector: name, Status: status, Error: text}
		if text != "" {
			e.Code = CodeError
		}
		return e
	}
	at := func(revision int, e audit.Entry) audit.Entry {
		e.Revision = etag(revision)
		return e
	}
	for _, test := range []struct {
		path, body, as string
		err            error
		want           audit.Entry
	}{
		{PathCreate, literal, "operate", nil, entry("operate", PathCreate, "c", 403,
			`config.sasl.0.password: secrets are set by the role admin, and "operate" has the role operate: send *** to keep the stored secret`)},
		{PathCreate, literal, "admin", nil, at(1, entry("admin", PathCreate, "c", 200, ""))},
		{PathCreate, literal, "admin", nil, entry("admin", PathCreate, "c", 200, "Connector [c] already exist")},
		{PathUpdate, strings.Replace(literal, "hush-hush", "***", 1), "operate", nil, at(2, entry("operate", PathUpdate, "c", 200, ""))},
		{PathPause, nameOf("c"), "operate", nil, entry("operate", PathPause, "c", 200, "")},
		{PathPause, nameOf("d"), "operate", nil, entry("operate", PathPause, "d", 200, "Connector d does not exist.")},
		{PathUpdate, literal, "admin", errors.New("writing hush-hush to tcp://me:pass@h: no"), entry("admin", PathUpdate, "c", 500, "writing *** to tcp://***@h: no")},
		{PathDelete, "{", "operate", nil, entry("operate", PathDelete, "", 400,
			"JSON parsing failed: Failed to parse the request body as JSON: unexpected end of JSON input at line 1 column 1")},
		{PathDelete, strings.Repeat(" ", maxBody+1), "operate", nil, entry("operate", PathDelete, "", 413, "the body is longer than 65536 bytes: it is not a connector")},
	} {
		m.err = test.err
		ask(h, http.MethodPost, test.path, test.body, all.as(test.as))
		text := a.text.String()
		assert.Equal(t, []audit.Entry{test.want}, a.taken(), test.path)
		for _, secret := range append([]string{"hush-hush", "pass"}, all.tokens[test.as], hashOf(all.tokens[test.as])) {
			assert.NotContains(t, strings.ReplaceAll(text, "password", ""), secret)
		}
	}
}

func TestWhatAMessageSaysIsNotRecorded(t *testing.T) {
	a := newAuditing(t)
	s := newServer(t, newMemory(), Options{Audit: a.log})
	openRoutes(s)
	r := s.paths["/messages/send"]
	r.serve = func(http.ResponseWriter, *http.Request) error { return invalid("the payload patient-7 is no JSON") }
	s.paths["/messages/send"] = r
	w := ask(s.Handler(), http.MethodPost, "/messages/send", `{"selector":"a=b"}`)
	assert.Contains(t, refusal(t, w), "patient-7")
	assert.Equal(t, []audit.Entry{{
		Actor: "anonymous", Address: from, Method: http.MethodPost, Route: "/messages/send", Selector: "a=b", Status: 400, Code: 100, Error: "the answer has the reason",
	}}, a.taken())
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAnAuditLogThatCannotBeWrittenStopsNothingAndIsWarnedOf(t *testing.T) {
	log, err := audit.Open("-", fullDisk{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	m := newMemory()
	m.warnings = []string{"of the manager"}
	s := newServer(t, m, Options{Audit: log})
	read[string](t, ask(s.Handler(), http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	want := []string{"of the manager", "The audit log cannot be written (entries lost: 1): no space left on device."}
	assert.Equal(t, want, s.Warnings())
	var answer Answer[string]
	require.NoError(t, json.Unmarshal(ask(s.Handler(), http.MethodGet, PathReady, "").Body.Bytes(), &answer))
	assert.Equal(t, want, answer.Notes)
}
