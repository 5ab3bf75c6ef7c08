package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// labelledServer has connectors a, b and c of two sites.
func labelledServer(t *testing.T) (*memory, http.Handler) {
	t.Helper()
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	for name, labels := range map[string]string{"a": `{"site":"north"}`, "b": `{"site":"south","stage":"test"}`, "c": `{"site":"north","stage":"test"}`, "d": "{}"} {
		body := strings.TrimSuffix(definitionOf(name, plainConfig), "}") + `,"labels":` + labels + "}"
		read[string](t, ask(h, http.MethodPost, PathCreate, body))
	}
	return m, h
}

func selecting(selector string) string {
	body, _ := json.Marshal(Chosen{Tenant: "default", Selector: selector})
	return string(body)
}

func TestLabelsAreShownAndSelectOfAList(t *testing.T) {
	m, h := labelledServer(t)
	names := func(query string) (all []string) {
		for _, r := range read[List](t, ask(h, http.MethodGet, PathList+query, "")).Data {
			all = append(all, r.ConnectorName)
		}
		return all
	}
	assert.Equal(t, []string{"a", "c"}, names("?selector=site%3Dnorth"))
	assert.Equal(t, []string{"a", "d"}, names("?selector=stage!%3Dtest"))
	assert.Equal(t, []string{"c"}, names("?selector=stage,site=north"))
	assert.Empty(t, names("?selector=site=east"))
	assert.Equal(t, []string{"a", "b", "c", "d"}, names(""))
	list := read[List](t, ask(h, http.MethodGet, PathList+"?limit=1&selector=site=north", ""))
	assert.Equal(t, 2, list.TotalCount, "those that are selected, on all pages")
	assert.Equal(t, map[string]string{"site": "north"}, list.Data[0].Labels)
	require.NoError(t, m.set(t.Context(), "a", connector.Running))
	d := read[Detail](t, ask(h, http.MethodGet, PathDetail+"?tenant=default&connector_name=a", ""))
	assert.Equal(t, map[string]string{"site": "north"}, d.Labels)

	w := ask(h, http.MethodGet, PathList+"?selector=", "")
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Contains(t, refusal(t, w), "Parameter validation failed: selector: it is empty")
	assert.NotContains(t, ask(h, http.MethodGet, PathList+"?connector_name=d", "").Body.String(), "labels", "RobustMQ's rows have none")
	w = ask(h, http.MethodPost, PathCreate, strings.TrimSuffix(definitionOf("e", plainConfig), "}")+`,"labels":{"a b":""}}`)
	assert.Contains(t, refusal(t, w), `Parameter validation failed: labels: "a b" is not the name of a label`)
}

func TestVerbsBySelectorSayWhatBecameOfEach(t *testing.T) {
	m, h := labelledServer(t)
	m.notes = []string{"goes on"}
	all := read[[]Selected](t, ask(h, http.MethodPost, PathPause, selecting("site=north")))
	assert.Equal(t, []Selected{{ConnectorName: "a", Notes: []string{"goes on"}}, {ConnectorName: "c", Notes: []string{"goes on"}}}, all)
	assert.Equal(t, connector.Paused, m.all["a"].State)
	assert.Equal(t, connector.Waiting, m.all["b"].State)

	all = read[[]Selected](t, ask(h, http.MethodPost, PathRestart, selecting("site")))
	require.Len(t, all, 3)
	paused := "Connector a is paused: resume it."
	assert.Equal(t, Selected{ConnectorName: "a", Error: &paused}, all[0])
	assert.Equal(t, Selected{ConnectorName: "b", Notes: []string{"goes on"}}, all[1])

	m.notes = nil
	assert.Equal(t, `{"code":0,"data":[{"connector_name":"a","error":null},{"connector_name":"c","error":null}],"error":null}`,
		ask(h, http.MethodPost, PathResume, selecting("site=north")).Body.String())
	read[[]Selected](t, ask(h, http.MethodPost, PathDelete, selecting("!stage,site=north")))
	assert.Len(t, m.all, 3)
	assert.NotContains(t, m.all, "a")
	assert.Equal(t, `{"code":0,"data":[],"error":null,"notes":["no connector has the labels site=east"]}`,
		ask(h, http.MethodPost, PathDelete, selecting("site=east")).Body.String())
	assert.Len(t, m.all, 3)
}

func TestASelectorThatMeansNothingChangesNothing(t *testing.T) {
	m, h := labelledServer(t)
	changes := 0
	m.during = func(context.Context) error { changes++; return nil }
	for body, want := range map[string]string{
		selecting(" "):                                                "selector: it is empty",
		`{"tenant":"default","selector":""}`:                          "selector: it is empty",
		selecting("a==b,"):                                            `selector: "" is not the name of a label`,
		`{"tenant":"default","selector":["a"]}`:                       "selector must be a string",
		`{"selector":"a"}`:                                            "missing field `tenant`",
		`{"tenant":7,"selector":"a"}`:                                 "tenant must be a string",
		`{"tenant":"x","selector":"site"}`:                            "tenant: \"x\" does not exist",
		`{"tenant":"default","selector":"site","connector_name":"a"}`: "selector: it conflicts with connector_name: remove one",
		`{"tenant":"default","selector":null}`:                        "missing field `connector_name`",
	} {
		for _, path := range []string{PathDelete, PathPause, PathResume, PathRestart} {
			w := ask(h, http.MethodPost, path, body)
			assert.Equal(t, http.StatusBadRequest, w.Code, body)
			assert.Contains(t, refusal(t, w), want, body)
		}
	}
	w := ask(h, http.MethodPost, PathDelete, selecting("site"), func(r *http.Request) { r.Header.Set("If-Match", `"1"`) })
	assert.Contains(t, refusal(t, w), "If-Match: it is the revision of one connector, and selector selects several: remove one")
	assert.Zero(t, changes)
	assert.Len(t, m.all, 4)
}

// Whatever becomes of one, the others are worked on, a bounded number at a time.
func TestOneOfManyFailsAlone(t *testing.T) {
	m, h := labelledServer(t)
	for i := range 3 * atOnce {
		body := strings.TrimSuffix(definitionOf("many"+strings.Repeat("x", i), plainConfig), "}") + `,"labels":{"many":"yes"}}`
		read[string](t, ask(h, http.MethodPost, PathCreate, body))
	}
	var now, most, calls atomic.Int64
	m.during = func(context.Context) error {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		switch calls.Add(1) {
		case 3:
			panic("hush")
		case 4:
			return errors.New("no disk at mqtt://ada:pw@b")
		}
		return nil
	}
	all := read[[]Selected](t, ask(h, http.MethodPost, PathPause, selecting("many=yes")))
	require.Len(t, all, 3*atOnce)
	failed := map[string]int{}
	for _, one := range all {
		if one.Error != nil {
			failed[*one.Error]++
		}
	}
	assert.Equal(t, map[string]int{"internal error: the service's log has its place": 1, "no disk at mqtt://***@b": 1}, failed)
	assert.LessOrEqual(t, most.Load(), int64(atOnce))
	assert.EqualValues(t, 3*atOnce, calls.Load())
}

func TestADeletionSaysWhetherWhatWaitsIsDiscarded(t *testing.T) {
	m, h := labelledServer(t)
	for _, tc := range []struct {
		body string
		want bool
	}{
		{`{"tenant":"default","connector_name":"a"}`, false},
		{`{"tenant":"default","connector_name":"b","discard_waiting":true}`, true},
		{`{"tenant":"default","connector_name":"d","discard_waiting":null}`, false},
	} {
		read[string](t, ask(h, http.MethodPost, PathDelete, tc.body))
		assert.Equal(t, tc.want, m.discarded, tc.body)
	}
	w := ask(h, http.MethodPost, PathDelete, `{"tenant":"default","connector_name":"c","discard_waiting":"yes"}`)
	assert.Contains(t, refusal(t, w), "discard_waiting must be true or false")
	read[[]Selected](t, ask(h, http.MethodPost, PathDelete, `{"tenant":"default","selector":"site=north","discard_waiting":true}`))
	assert.True(t, m.discarded)
	assert.Empty(t, m.all)
}
