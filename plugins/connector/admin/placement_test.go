package admin

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func TestListAndDetailSayWhichWorkerRunsAConnector(t *testing.T) {
	const query = "?tenant=default&connector_name="
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	for _, name := range []string{"a", "b", "c", "d"} {
		read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf(name, plainConfig)))
		m.stand(name, connector.Running, "")
	}
	for _, path := range []string{PathList, PathDetail + query + "a"} {
		text := ask(h, http.MethodGet, path, "").Body.String()
		assert.NotContains(t, text, "worker", "there is one alone")
		assert.NotContains(t, text, "members")
	}

	many, far, moves, paused := m.all["a"], m.all["b"], m.all["c"], m.all["d"]
	many.Parallelism, many.Worker = 3, "http://w2"
	many.SetMembers([]connector.MemberStatus{
		{State: connector.Running, Worker: "http://w2"},
		{Member: 1, State: connector.Running, Worker: "http://w1"},
		{Member: 2, State: connector.Unknown, Worker: connector.UnknownWorker},
	})
	far.Worker, moves.Worker, paused.State = "http://w2", connector.UnknownWorker, connector.Paused
	h = newServer(t, m, Options{Workers: &twoWorkers{
		theirs:   map[string]bool{"a": true, "b": true, "c": true, "d": true},
		statuses: map[string]connector.Status{"a": many, "b": far, "c": moves, "d": paused},
	}}).Handler()
	list := ask(h, http.MethodGet, PathList+"?sort_field=connector_name&sort_by=asc", "")
	assert.Contains(t, list.Body.String(), `"state":"Unknown","worker":"http://w2","members":[{"member":1,"state":"Running","worker":"http://w2"},`+
		`{"member":2,"state":"Running","worker":"http://w1"},{"member":3,"state":"Unknown","worker":"unknown"}]}`)
	rows := read[List](t, list).Data
	require.Len(t, rows, 4)
	assert.Equal(t, placement{Worker: "http://w2"}, rows[1].placement)
	assert.Equal(t, placement{Worker: "unknown"}, rows[2].placement)
	assert.Equal(t, placement{}, rows[3].placement)
	for _, row := range rows {
		text, err := json.Marshal(row)
		require.NoError(t, err)
		_, err = connector.Parse(text)
		require.NoError(t, err, "a row is a definition")
	}
	rows = read[List](t, ask(h, http.MethodGet, PathList+"?sort_field=worker&sort_by=asc", "")).Data
	assert.Equal(t, []string{"", "http://w2", "http://w2", "unknown"}, []string{rows[0].Worker, rows[1].Worker, rows[2].Worker, rows[3].Worker})

	h = newServer(t, m, Options{Workers: &twoWorkers{writes: true}}).Handler()
	d := read[Detail](t, ask(h, http.MethodGet, PathDetail+query+"b", ""))
	assert.Equal(t, placement{Worker: "http://w1"}, d.placement, "nobody was asked")
}
