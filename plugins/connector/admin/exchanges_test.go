package admin

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// exchange is one recorded of RobustMQ.
type exchange struct {
	Name        string  `json:"name"`
	Client      string  `json:"client"`
	Method      string  `json:"method"`
	Path        string  `json:"path"`
	Request     *string `json:"request"`
	Status      int     `json:"status"`
	ContentType string  `json:"content_type"`
	Response    string  `json:"response"`
}

// The recording has two exchanges of one name, by different clients.
func (e exchange) key() string { return e.Name + ", by " + e.Client }

func (e exchange) code(t *testing.T) int {
	var answer struct{ Code int }
	if e.Status == http.StatusBadRequest && !strings.HasPrefix(e.Response, "{") {
		return CodeError
	}
	require.NoError(t, json.Unmarshal([]byte(e.Response), &answer))
	return answer.Code
}

const success = `{"code":0,"data":"success","error":null}`

// otherwise lists what ours answers otherwise than RobustMQ, and why. An answer
// that ends in … begins so: what follows belongs to another package's tests.
var otherwise = map[string]struct {
	why    string
	status int
	answer string
	rows   []string // of a list: these of RobustMQ's rows, in this order
}{
	"create k2: a host name and the type written Kafka, by robust-ctl": {
		why: "a host name is an address, and RobustMQ's own document writes Kafka", status: 200, answer: success,
	},
	"create: Kafka unreachable, by robust-ctl": {
		why: "a connector waits for its Kafka; check is what probes", status: 200, answer: success,
	},
	"create k1 again, by robust-ctl": {
		why: "RobustMQ's words without its gRPC wrapping", status: 200,
		answer: `{"code":100,"data":"","error":"Connector [k1] already exist"}`,
	},
	"create: unknown type, by robust-ctl": {
		why: "there is one type here", status: 400,
		answer: `{"code":100,"data":"","error":"Parameter validation failed: Connector type must be kafka"}`,
	},
	"create: config is not JSON, by robust-ctl": {
		why: "the words are of RobustMQ's JSON parser and do not name the field", status: 200,
		answer: `{"code":100,"data":"","error":"config: not one JSON object: …`,
	},
	"delete: unknown name, by robust-ctl": {
		why: "it says only that, with the words that detail has for it", status: 200,
		answer: `{"code":100,"data":"","error":"Connector nosuch does not exist."}`,
	},
	"delete: unknown name, by http": {
		why: "it says only that, with the words that detail has for it", status: 200,
		answer: `{"code":100,"data":"","error":"Connector nosuch does not exist."}`,
	},
	"create d4: unknown strategy is taken, by http": {
		why: "an unknown strategy would have no effect and no message", status: 400,
		answer: `{"code":100,"data":"","error":"Parameter validation failed: failure_strategy.strategy: \"wrong\" is not one of …`,
	},
	"create d5: 0 retries is taken, by http": {
		why: "discard_after_retry without a retry is discard, which was not asked for", status: 400,
		answer: `{"code":100,"data":"","error":"Parameter validation failed: failure_strategy.retry_total_times: 0 is out of range…`,
	},
	"create: unknown tenant is taken, by http": {
		why: "one tenant exists", status: 400,
		answer: `{"code":100,"data":"","error":"Parameter validation failed: tenant: \"nosuch\" does not exist: there is one, default"}`,
	},
	"create: JSON cut off, by http": {
		why: "the words are of RobustMQ's JSON parser; the place is the same", status: 400,
		answer: `{"code":100,"data":"","error":"JSON parsing failed: Failed to parse the request body as JSON: unexpected end of JSON input at line 1 column 22"}`,
	},
	"list (d9 d2 d5 k1 d4 d3 exist), by http": {
		why: "d4, d5 and d9 were refused, and the order is by name instead of a hash", status: 200, rows: []string{"d2", "d3", "k1"},
	},
}

func recorded(t testing.TB) []exchange {
	data, err := os.ReadFile("testdata/robustmq_exchanges.jsonl")
	require.NoError(t, err)
	var all []exchange
	for line := range bytes.Lines(data) {
		var e exchange
		require.NoError(t, json.Unmarshal(line, &e))
		all = append(all, e)
	}
	return all
}

// The recording is one run of one server, so ours goes through it in its order.
func TestRobustMQsExchanges(t *testing.T) {
	exchanges := recorded(t)
	require.Len(t, exchanges, 39)
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()

	seen := map[string]bool{}
	for _, e := range exchanges {
		require.False(t, seen[e.key()], "two exchanges are called %q", e.key())
		seen[e.key()] = true
		// By the last one RobustMQ had started its connectors.
		if strings.HasPrefix(e.Name, "list (d9") {
			for name := range maps.Clone(m.all) {
				_, err := m.Resume(t.Context(), name)
				require.NoError(t, err)
			}
		}

		body := ""
		if e.Request != nil {
			body = *e.Request
		}
		w := ask(h, e.Method, e.Path, body)
		ours, answersOtherwise := otherwise[e.key()]
		status := e.Status
		if answersOtherwise {
			status = ours.status
		}
		assert.Equal(t, status, w.Code, e.key())
		assert.Equal(t, e.ContentType, w.Header().Get("Content-Type"), e.key())
		got := w.Body.String()
		switch begin, unfinished := strings.CutSuffix(ours.answer, "…"); {
		case ours.rows != nil:
			assertRows(t, e, got, ours.rows)
		case unfinished:
			assert.Greater(t, len(got), len(begin), e.key())
			assert.Equal(t, begin, got[:min(len(begin), len(got))], e.key())
		case answersOtherwise:
			assert.NotEqual(t, e.Response, ours.answer, "%s: this is no difference", e.key())
			assert.Equal(t, ours.answer, got, e.key())
		case strings.Contains(e.Path, "/list"):
			assertRows(t, e, got, nil)
		default:
			assert.Equal(t, e.Response, got, e.key())
		}

		// What RobustMQ did not create is not in its later answers.
		if answersOtherwise && ours.answer == success && e.code(t) != CodeOK {
			var d Definition
			require.NoError(t, json.Unmarshal([]byte(body), &d))
			_, err := m.Delete(t.Context(), d.ConnectorName, connector.DeleteOptions{})
			require.NoError(t, err)
		}
	}

	for key, ours := range otherwise {
		assert.True(t, seen[key], "no recorded exchange is called %q", key)
		assert.NotEmpty(t, ours.why, key)
	}
}

// assertRows compares a list member by member and row by row; rows names those
// that are wanted, nil is RobustMQ's. Ours have a strategy and a state beside.
func assertRows(t *testing.T, e exchange, got string, rows []string) {
	t.Helper()
	type page struct {
		Code int
		Data struct {
			Data       []map[string]any
			TotalCount int `json:"total_count"`
		}
		Error *string
	}
	var want, have page
	require.NoError(t, json.Unmarshal([]byte(e.Response), &want), e.key())
	require.NoError(t, json.Unmarshal([]byte(got), &have), e.key())
	if rows != nil {
		all := want.Data.Data
		want.Data.Data = nil
		for _, name := range rows {
			i := slices.IndexFunc(all, func(r map[string]any) bool { return r["connector_name"] == name })
			require.GreaterOrEqual(t, i, 0, name)
			want.Data.Data = append(want.Data.Data, all[i])
		}
		want.Data.TotalCount = len(rows)
	}
	for _, r := range have.Data.Data {
		assert.Contains(t, r, "failure_strategy", "%s: RobustMQ's list does not tell it, a copy needs it", e.key())
		delete(r, "failure_strategy")
		assert.Contains(t, r, "state", e.key())
		delete(r, "state")
		delete(r, "waits_for")
		delete(r, "reason")
	}
	assert.Equal(t, want, have, e.key())

	// The order of the members is RobustMQ's too, and an empty list is no null.
	begin, _, _ := strings.Cut(e.Response, `"connector_name"`)
	if len(want.Data.Data) == 0 {
		begin = e.Response
	}
	if rows == nil {
		assert.True(t, strings.HasPrefix(got, begin), "%s: %s", e.key(), got)
	}
}

func TestRunningConnectorsAreOnBrokerOneAsRobustMQs(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	for _, name := range []string{"idle", "running", "stopped"} {
		read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf(name, plainConfig)))
	}
	read[string](t, ask(h, http.MethodPost, PathResume, nameOf("running")))
	read[string](t, ask(h, http.MethodPost, PathPause, nameOf("stopped")))

	var got [][]string
	for _, r := range read[List](t, ask(h, http.MethodGet, PathList, "")).Data {
		got = append(got, []string{r.ConnectorName, r.Status, r.BrokerID})
	}
	assert.Equal(t, [][]string{
		{"idle", connector.WordIdle, "-"},
		{"running", connector.WordRunning, "1"},
		{"stopped", connector.WordStop, "-"},
	}, got)
}
