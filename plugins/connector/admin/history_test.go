package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func ifMatch(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("If-Match", value) }
}

func topicOf(t *testing.T, m *memory, name string) string {
	t.Helper()
	status, _, err := m.Detail(name)
	require.NoError(t, err)
	var config struct{ Topic string }
	require.NoError(t, json.Unmarshal(status.Config, &config))
	return config.Topic
}

const otherConfig = `{"bootstrap_servers":"localhost:9092","topic":"other"}`

func TestTheRevisionTravelsAsAnETag(t *testing.T) {
	m := newMemory()
	m.figures["c"] = connector.Figures{}
	h := newServer(t, m, Options{}).Handler()
	w := ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig))
	assert.Equal(t, Success, read[string](t, w))
	assert.Equal(t, `"1"`, w.Header().Get("ETag"))
	w = ask(h, http.MethodPost, PathUpdate, definitionOf("c", otherConfig))
	assert.Equal(t, `{"code":0,"data":"success","error":null}`, w.Body.String(), "the body is RobustMQ's")
	assert.Equal(t, `"2"`, w.Header().Get("ETag"))
	require.NoError(t, m.set(t.Context(), "c", connector.Running))
	w = ask(h, http.MethodGet, PathDetail+"?tenant=default&connector_name=c", "")
	read[Detail](t, w)
	assert.Equal(t, `"2"`, w.Header().Get("ETag"))
	w = ask(h, http.MethodGet, PathHistory+"?tenant=default&connector_name=c", "")
	read[[]Revision](t, w)
	assert.Equal(t, `"2"`, w.Header().Get("ETag"))
	for _, path := range []string{PathPause, PathResume, PathDelete} {
		w = ask(h, http.MethodPost, path, nameOf("c"))
		assert.Equal(t, Success, read[string](t, w))
		assert.Empty(t, w.Header().Get("ETag"), path)
	}
}

func TestIfMatchRefusesAnotherRevision(t *testing.T) {
	rollback := `{"tenant":"default","connector_name":"c","revision":1}`
	for path, body := range map[string]string{
		PathUpdate: definitionOf("c", otherConfig), PathDelete: nameOf("c"), PathRollback: rollback,
	} {
		m := newMemory()
		h := newServer(t, m, Options{}).Handler()
		read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
		read[string](t, ask(h, http.MethodPost, PathUpdate, definitionOf("c", plainConfig))) // 2
		for _, value := range []string{`"1"`, `"7", "8"`, `W/"1"`, `"22"`} {
			w := ask(h, http.MethodPost, path, body, ifMatch(value))
			assert.Equal(t, http.StatusPreconditionFailed, w.Code, "%s: %s", path, value)
			assert.Equal(t, `"2"`, w.Header().Get("ETag"))
			assert.Contains(t, refusal(t, w), `connector "c" is at revision 2, and this change expects revision `)
			assert.Equal(t, "t", topicOf(t, m, "c"))
		}
		for _, value := range []string{``, `7`, `"7`, `"x"`, `"0"`, `"-1"`, `"07"`, `*, "1"`, `"1",`, `"1" "2"`, `"99999999999999999999"`} {
			w := ask(h, http.MethodPost, path, body, ifMatch(value))
			assert.Equal(t, http.StatusBadRequest, w.Code, "%s: %s", path, value)
			assert.Contains(t, refusal(t, w), "If-Match: "+fmt.Sprintf("%q", value)+` is no revision: give the ETag of detail, "7" with its quotes, or *`)
			assert.Equal(t, "t", topicOf(t, m, "c"))
		}
		if path == PathUpdate {
			assert.Equal(t, Success, read[string](t, ask(h, http.MethodPost, path, body, ifMatch("*"))))
			assert.Equal(t, Success, read[string](t, ask(h, http.MethodPost, path, body, ifMatch(` W/"2" , "3"`))))
			assert.Equal(t, "other", topicOf(t, m, "c"))
		}
		w := ask(h, http.MethodPost, path, body, ifMatch(`"2"`), func(r *http.Request) { r.Header.Add("If-Match", `"4"`) })
		assert.Equal(t, Success, read[string](t, w), path)
	}
	// There is nothing to match.
	h := newServer(t, newMemory(), Options{}).Handler()
	assert.Equal(t, "Connector c does not exist.", refusal(t, ask(h, http.MethodPost, PathUpdate, definitionOf("c", plainConfig), ifMatch("*"))))
}

func TestHistoryShowsWhatAConnectorWas(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", `{"bootstrap_servers":"h:1","topic":"t","password":"hush"}`)))
	read[string](t, ask(h, http.MethodPost, PathUpdate, definitionOf("c", otherConfig)))
	m.past["c"][1].Actor = "ada"
	m.past["c"] = append(m.past["c"], connector.Revision{Number: 0, Unreadable: errors.New("it is of a later program")})
	w := ask(h, http.MethodGet, PathHistory+"?tenant=default&connector_name=c", "")
	assert.NotContains(t, w.Body.String(), "hush")
	all := read[[]Revision](t, w)
	require.Len(t, all, 3)
	at := recordedAt.UTC().Format("2006-01-02T15:04:05Z")
	assert.Equal(t, Revision{Revision: 2, Current: true, Time: at, Actor: "anonymous", Definition: all[0].Definition}, all[0])
	assert.Equal(t, Revision{Revision: 1, Time: at, Actor: "ada", Definition: &Definition{
		ConnectorName: "c", ConnectorType: "kafka", Tenant: "default", TopicName: "a/c",
		Config:          json.RawMessage(`"{\"bootstrap_servers\":\"h:1\",\"topic\":\"t\",\"password\":\"***\"}"`),
		FailureStrategy: json.RawMessage(`{"strategy":"discard"}`),
	}}, all[1])
	assert.Equal(t, Revision{Unreadable: "it is of a later program"}, all[2])

	// What it shows, update takes.
	body, err := json.Marshal(all[0].Definition)
	require.NoError(t, err)
	assert.Equal(t, Success, read[string](t, ask(h, http.MethodPost, PathUpdate, string(body))))

	assert.Equal(t, "Connector d does not exist.", refusal(t, ask(h, http.MethodGet, PathHistory+"?tenant=default&connector_name=d", "")))
	w = ask(h, http.MethodGet, PathHistory+"?tenant=default", "")
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Equal(t, "Failed to deserialize query string: missing field `connector_name`", w.Body.String())
}

func TestRollbackReadsItsBodyStrictly(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	read[string](t, ask(h, http.MethodPost, PathUpdate, definitionOf("c", otherConfig)))
	for body, want := range map[string]string{
		`{"tenant":"default","connector_name":"c"}`:                                          "missing field `revision`",
		`{"tenant":"default","revision":1}`:                                                  "missing field `connector_name`",
		`{"tenant":"default","connector_name":"c","revision":"1"}`:                           "revision must be a whole number from 1",
		`{"tenant":"default","connector_name":"c","revision":0}`:                             "revision must be a whole number from 1",
		`{"tenant":"default","connector_name":"c","revision":1.5}`:                           "revision must be a whole number from 1",
		`{"tenant":"default","connector_name":"c","revision":1,"discard_waiting":1}`:         "discard_waiting must be true or false",
		`{"tenant":"default","connector_name":"c","revision":1,"topic":"t"}`:                 `unknown field "topic"`,
		`{"tenant":"default","connector_name":"c","revision":9}`:                             "revision: there is no 9",
		`{"tenant":"other","connector_name":"c","revision":1}`:                               `tenant: "other" does not exist`,
		`{"tenant":"default","connector_name":"c","revision":1,"discard_waiting":true,"a":}`: "invalid character",
	} {
		w := ask(h, http.MethodPost, PathRollback, body)
		assert.Equal(t, http.StatusBadRequest, w.Code, body)
		assert.Contains(t, refusal(t, w), want)
	}
	assert.Equal(t, "other", topicOf(t, m, "c"))
	w := ask(h, http.MethodPost, PathRollback, `{"tenant":"default","connector_name":"c","revision":1,"discard_waiting":true}`)
	assert.Equal(t, Success, read[string](t, w))
	assert.Equal(t, `"3"`, w.Header().Get("ETag"))
	assert.Equal(t, "t", topicOf(t, m, "c"))
	assert.True(t, m.discarded)
	assert.Equal(t, "Connector d does not exist.", refusal(t, ask(h, http.MethodPost, PathRollback, `{"tenant":"default","connector_name":"d","revision":1}`)))
}

func TestAHistoryNamesWhoMadeARevision(t *testing.T) {
	m, all := newMemory(), newHolders(t)
	h := newServer(t, m, Options{TokensFile: all.file}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig), all.as("admin")))
	read[string](t, ask(h, http.MethodPost, PathUpdate, definitionOf("c", otherConfig), all.as("operate")))
	read[string](t, ask(h, http.MethodPost, PathRollback, `{"tenant":"default","connector_name":"c","revision":1}`, all.as("operate-payloads")))
	var actors []string
	for _, r := range read[[]Revision](t, ask(h, http.MethodGet, PathHistory+"?tenant=default&connector_name=c", "", all.as("read"))) {
		actors = append(actors, r.Actor)
	}
	assert.Equal(t, []string{"operate-payloads", "operate", "admin"}, actors)
}
