package control

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const threeRevisions = `[
	{"revision":9,"current":true,"time":"2026-11-25T10:00:01Z","actor":"ada\u001b[2J","definition":{"connector_name":"c","connector_type":"kafka","config":"{\"topic\":\"new\",\"acks\":\"1\"}","failure_strategy":{"strategy":"block"},"tenant":"default","topic_name":"a/#","labels":{"site":"n"}}},
	{"revision":8,"current":false,"time":"","definition":{"connector_name":"c","connector_type":"kafka","config":"{\"topic\":\"t\",\"key\":\"k\"}","failure_strategy":{"strategy":"block"},"tenant":"default","topic_name":"b/#"}},
	{"revision":7,"current":false,"time":"2026-11-25T10:00:00Z","unreadable":"unknown field \"later\""}]`

func TestHistoryPrintsWhatEachRevisionChanged(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"history": tagged(`"9"`, `{"code":0,"data":`+threeRevisions+`,"error":null}`)})
	stdout, stderr, err := runMQTT("", "--server", server.URL, "connector", "history", "-c", "k 1", "--wide")
	require.NoError(t, err)
	assert.Empty(t, stderr)
	first := time.Date(2026, 11, 25, 10, 0, 1, 0, time.UTC).Local().Format(time.DateTime)
	third := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC).Local().Format(time.DateTime)
	assert.Regexp(t, `\| 9 \(current\) \| `+first+` \| ada\?\[2J \| config\.acks, config\.key, config\.topic, labels\.site, topic_name +\|`, stdout)
	assert.Regexp(t, `\| 8 +\| - +\| - +\| - +\|`, stdout)
	assert.Regexp(t, `\| 7 +\| `+third+` \| - +\| cannot be read: unknown field "later" +\|`, stdout)
	assert.Equal(t, "/api/mqtt/connector/history", server.asked()[0].path)
	assert.Equal(t, "connector_name=k+1&tenant=default", server.asked()[0].query)

	stdout, _, err = runMQTT("", "--server", server.URL, "connector", "history", "-c", "k 1", "--output", "json")
	require.NoError(t, err)
	assert.JSONEq(t, threeRevisions, stdout)

	server.answers["history"] = replay(t, "detail: unknown name")
	_, _, err = runMQTT("", "--server", server.URL, "connector", "history", "-c", "nosuch")
	require.EqualError(t, err, `reading the history of connector "nosuch": Connector nosuch does not exist.`)
	_, _, err = runMQTT("", "--server", server.URL, "connector", "history")
	require.EqualError(t, err, "reading a connector's history: name it with --connector-name")
}

func TestRollbackNamesARevision(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"rollback": tagged(`"10"`, successAnswer)})
	stdout, _, err := runMQTT("", "--server", server.URL, "connector", "rollback", "-c", "c", "--revision", "7")
	require.NoError(t, err)
	assert.Equal(t, "Rolled back successfully!\n", stdout)
	assert.Equal(t, map[string]any{"tenant": "default", "connector_name": "c", "revision": 7.0}, server.body(t))
	assert.Empty(t, server.asked()[0].ifMatch)
	stdout, _, err = runMQTT("", "--server", server.URL, "connector", "rollback", "-c", "c", "--revision", "7", "--if-match", "9", "--discard-waiting", "--output", "json")
	require.NoError(t, err)
	assert.JSONEq(t, `{"connector_name":"c","result":"success","revision":10}`, stdout)
	assert.Equal(t, map[string]any{"tenant": "default", "connector_name": "c", "revision": 7.0, "discard_waiting": true}, server.body(t))
	assert.Equal(t, `"9"`, server.asked()[1].ifMatch)

	asked := len(server.asked())
	for _, revision := range []string{"", "0", "x", "-1"} {
		_, _, err = runMQTT("", "--server", server.URL, "connector", "rollback", "-c", "c", "--revision", revision)
		require.ErrorContains(t, err, `rolling back connector "c": reading --revision "`+revision+`": want a revision that history shows`)
	}
	_, _, err = runMQTT("", "--server", server.URL, "connector", "rollback", "-c", "c", "--revision", "7", "--if-match", "last")
	require.EqualError(t, err, `rolling back connector "c": reading --if-match "last": want a revision, 7 for example, or * for any`)
	_, _, err = runMQTT("", "--server", server.URL, "connector", "rollback", "--revision", "7")
	require.EqualError(t, err, "rolling back a connector: name it with --connector-name")
	assert.Len(t, server.asked(), asked, "nothing was sent")
}

// What update read is what it changes.
func TestUpdateAndDeleteChangeTheRevisionThatWasRead(t *testing.T) {
	noEnvironment(t)
	detail := `{"code":0,"data":{"connector_type":"kafka","config":"{\"topic\":\"t\"}","topic_name":"a/#","failure_strategy":{"strategy":"block"}},"error":null}`
	server := newScripted(t, map[string]http.HandlerFunc{
		"detail": tagged(`"7"`, detail), "update": tagged(`"8"`, successAnswer), "delete": gives(successAnswer),
	})
	for _, test := range []struct {
		args  []string
		match string
	}{
		{[]string{"update", "-n", "c", "--topic-id", "b/#"}, `"7"`},
		{[]string{"update", "-n", "c", "--topic-id", "b/#", "--if-match", "6"}, `"6"`},
		{[]string{"update", "-n", "c", "--topic-id", "b/#", "--if-match", `"5"`}, `"5"`},
		{[]string{"update", "-f", "-"}, ""},
		{[]string{"update", "-f", "-", "--if-match", "*"}, "*"},
		{[]string{"delete", "-c", "c"}, ""},
		{[]string{"delete", "-c", "c", "--if-match", "7"}, `"7"`},
		{[]string{"delete", "-c", "c", "--discard-waiting"}, ""},
	} {
		_, _, err := runMQTT(documentedConnector, append([]string{"--server", server.URL, "connector"}, test.args...)...)
		require.NoError(t, err, test.args)
		calls := server.asked()
		assert.Equal(t, test.match, calls[len(calls)-1].ifMatch, test.args)
	}
	asked := len(server.asked())
	for _, args := range [][]string{{"update", "-f", "-", "--if-match", "0"}, {"delete", "-c", "c", "--if-match", ""}} {
		_, _, err := runMQTT(documentedConnector, append([]string{"--server", server.URL, "connector"}, args...)...)
		require.ErrorContains(t, err, "want a revision, 7 for example, or * for any")
	}
	assert.Len(t, server.asked(), asked)

	stdout, _, err := runMQTT("", "--server", server.URL, "connector", "detail", "-c", "c")
	require.NoError(t, err)
	assert.Regexp(t, `\| revision +\| 7 +\|`, stdout)

	// A RobustMQ has no revisions.
	server.answers["detail"] = gives(detail)
	_, _, err = runMQTT("", "--server", server.URL, "connector", "update", "-n", "c", "--topic-id", "b/#")
	require.NoError(t, err)
	calls := server.asked()
	assert.Empty(t, calls[len(calls)-1].ifMatch)

	server.answers["update"] = func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusPreconditionFailed)
		gives(`{"code":100,"data":"","error":"connector \"c\" is at revision 8, and this change expects revision 7: read it again and repeat the change"}`)(w, r)
	}
	_, _, err = runMQTT("", "--server", server.URL, "connector", "update", "-n", "c", "--topic-id", "b/#")
	require.EqualError(t, err, `updating connector "c": connector "c" is at revision 8, and this change expects revision 7: read it again and repeat the change`)
}
