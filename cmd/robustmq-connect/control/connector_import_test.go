package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func TestImportCreatesTheConnectorsOfARobustMQ(t *testing.T) {
	noEnvironment(t)
	robustmq := newRobustMQ(t, map[string]http.HandlerFunc{"list": replay(t, "list (d9 d2 d5 k1 d4 d3 exist)")})
	here := newScripted(t, map[string]http.HandlerFunc{
		"list": gives(`{"code":0,"data":{"data":[{"connector_name":"d4"}],"total_count":1},"error":null}`),
	})
	here.answers["create"] = func(w http.ResponseWriter, r *http.Request) {
		switch here.body(t)["connector_name"] {
		case "d9":
			gives(`{"code":100,"data":"","error":"tenant \"nosuch\" does not exist"}`)(w, r)
		case "k1":
			gives(`{"code":0,"data":"success","error":null,"notes":["left out: acks \"1\""]}`)(w, r)
		default:
			gives(successAnswer)(w, r)
		}
	}
	from := strings.TrimPrefix(robustmq.URL, "http://")
	stdout, stderr, err := runMQTT("", "--server", here.URL, "connector", "import", "--from", from)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Equal(t, "d2: created\nd5: created\nk1: created\nd4: skipped: a connector of this name exists here\nd3: created\n"+
		"4 created, 1 skipped, 1 failed\n", stdout)
	assert.Equal(t, "note: records are RobustMQ's storage record, as there; offset, segment and shard, which only RobustMQ knows, are 0, 0 and empty\n"+
		"d9: failed: tenant \"nosuch\" does not exist\nk1: note: left out: acks \"1\"\n", stderr)

	body := here.body(t)
	assert.Equal(t, "d3", body["connector_name"])
	assert.Equal(t, "d/3", body["topic_name"])
	assert.Contains(t, body["config"], `{"Kafka":{`, "the server knows what RobustMQ filled in")
	assert.Contains(t, body["config"], `"format":"robustmq_record"`)
	assert.Equal(t, map[string]any{"strategy": "block"}, body["failure_strategy"])

	stdout, _, err = runMQTT("", "--server", here.URL, "connector", "import", "--from", from, "--output", "json",
		"--failure-strategy", "discard")
	require.ErrorIs(t, err, cli.ErrReported)
	var results []imported
	require.NoError(t, json.Unmarshal([]byte(stdout), &results))
	require.Len(t, results, 6)
	assert.Equal(t, imported{Name: "k1", Result: "created", Notes: []string{`left out: acks "1"`}}, results[3])
	assert.Equal(t, map[string]any{"strategy": "discard"}, here.body(t)["failure_strategy"])
}

func TestImportDoesNotStartWhatIsPaused(t *testing.T) {
	noEnvironment(t)
	other := newScripted(t, map[string]http.HandlerFunc{"list": gives(
		`{"code":0,"data":{"data":[{"connector_name":"p","connector_type":"kafka","config":"{}","status":"Stop"},` +
			`{"connector_name":"r","connector_type":"kafka","config":"{}","status":"Running"},` +
			`{"connector_name":"i","connector_type":"kafka","config":"{}","status":"Idle"}],"total_count":3},"error":null}`)})
	bodies := map[any]map[string]any{}
	here := newScripted(t, map[string]http.HandlerFunc{"list": gives(emptyList)})
	here.answers["create"] = func(w http.ResponseWriter, r *http.Request) {
		body := here.body(t)
		bodies[body["connector_name"]] = body
		gives(successAnswer)(w, r)
	}
	stdout, stderr, err := runMQTT("", "--server", here.URL, "connector", "import", "--from", other.URL)
	require.NoError(t, err)
	assert.Equal(t, "p: created\nr: created\ni: created\n3 created, 0 skipped, 0 failed\n", stdout)
	assert.Equal(t, "p: note: it is stopped there, and so it is paused here: resume starts it\n", stderr)
	assert.Equal(t, true, bodies["p"]["paused"])
	assert.NotContains(t, bodies["r"], "paused")
	assert.NotContains(t, bodies["i"], "paused")
}

func TestImportReadsAllPages(t *testing.T) {
	noEnvironment(t)
	const total = 250
	robustmq := newScripted(t, map[string]http.HandlerFunc{"list": func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		list := admin.List{Data: []admin.Row{}, TotalCount: total}
		for i := (page - 1) * limit; i < min(page*limit, total); i++ {
			list.Data = append(list.Data, admin.Row{ConnectorName: fmt.Sprintf("c%03d", i), ConnectorType: "kafka", Config: "{}"})
		}
		assert.NoError(t, json.NewEncoder(w).Encode(admin.Answer[admin.List]{Data: list}))
	}})
	here := newScripted(t, map[string]http.HandlerFunc{"list": gives(emptyList), "create": gives(successAnswer)})
	stdout, _, err := runMQTT("", "--server", here.URL, "connector", "import", "--from", robustmq.URL)
	require.NoError(t, err)
	assert.Contains(t, stdout, "\nc249: created\n250 created, 0 skipped, 0 failed\n")
	assert.Len(t, robustmq.asked(), 3)
	assert.Len(t, here.asked(), total+1)
}

func TestImportDoesNotCreateAConnectorWithoutItsSecret(t *testing.T) {
	noEnvironment(t)
	other := newScripted(t, map[string]http.HandlerFunc{"list": gives(
		`{"code":0,"data":{"data":[{"connector_name":"a","connector_type":"kafka","config":"{\"password\":\"***\"}"}],"total_count":1},"error":null}`)})
	here := newScripted(t, map[string]http.HandlerFunc{"list": gives(emptyList), "create": gives(successAnswer)})
	token := writeFile(t, t.TempDir(), "token", "t0ken\n")
	_, stderr, err := runMQTT("", "--server", here.URL, "connector", "import", "--from", other.URL, "--from-token-file", token)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Contains(t, stderr, "a: failed: its config holds ***, a secret that the server does not show")
	assert.Equal(t, "Bearer t0ken", other.asked()[0].token)
	require.Len(t, here.asked(), 1)
	assert.Empty(t, here.asked()[0].token, "the token is for the other server")
}

func TestImportRefuses(t *testing.T) {
	noEnvironment(t)
	here := newScripted(t, map[string]http.HandlerFunc{"list": gives(emptyList)})
	away := newScripted(t, nil)
	away.Close()
	for want, args := range map[string][]string{
		"name the server to read from by --from":         {},
		"--from and --server are the same":               {"--from", here.URL},
		"reading from " + away.URL + ": calling the adm": {"--from", away.URL},
		"flag provided but not defined: -connector-name": {"--from", away.URL, "--connector-name", "x"},
	} {
		_, _, err := runMQTT("", append([]string{"--server", here.URL, "connector", "import"}, args...)...)
		require.ErrorContains(t, err, want)
	}
	assert.Empty(t, here.asked())
}
