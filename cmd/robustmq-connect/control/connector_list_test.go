package control

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

const emptyList = `{"code":0,"data":{"data":[],"total_count":0},"error":null}`

func TestListPrintsRobustMQsTable(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"list": replay(t, "list, table (k1 and k3 exist)")})
	stdout, stderr, err := runMQTT("", "--server", server.URL, "connector", "list")
	require.NoError(t, err)
	assert.Empty(t, stderr)
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	require.Len(t, lines, 7)
	assert.Equal(t, "connector list result:", lines[0])
	cells := func(line string) []string {
		parts := strings.Split(strings.Trim(line, "|"), "|")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		return parts
	}
	assert.Equal(t, []string{
		"connector name", "connector type", "connector config", "topic id", "status", "broker id", "create time", "update time",
	}, cells(lines[2]))
	k3 := cells(lines[5])
	assert.Equal(t, []string{"k3", "kafka"}, k3[:2])
	assert.Contains(t, k3[2], `{"Kafka":{"bootstrap_servers":"127.0.0.1:19092"`)
	assert.Equal(t, []string{"sensors/+/data", "Idle", "-", "2026-11-23 02:52:14", "2026-11-23 02:52:14"}, k3[3:])
	for _, line := range lines[1:] {
		assert.Len(t, line, len(lines[1]), "the columns are straight")
	}
	query, err := url.ParseQuery(server.asked()[0].query)
	require.NoError(t, err)
	assert.Equal(t, url.Values{"limit": {"100"}, "page": {"1"}}, query, "what robust-ctl asks")
}

func TestListPrintsTheAnswerAsJSON(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"list": replay(t, "list (k1 exists)")})
	for _, args := range [][]string{{"--output", "json", "connector", "list"}, {"connector", "list", "--output", "json"}} {
		stdout, _, err := runMQTT("", append([]string{"--server", server.URL}, args...)...)
		require.NoError(t, err)
		assert.JSONEq(t, `{"data":[{"tenant":"default","connector_name":"k1","connector_type":"kafka","config":"{\"Kafka\":{\"bootstrap_servers\":\"127.0.0.1:19092\",\"topic\":\"rmq_k1\",\"key\":\"sensor_data\",\"compression_type\":\"none\",\"batch_size\":16384,\"linger_ms\":5,\"acks\":\"1\",\"retries\":3,\"message_timeout_ms\":30000,\"cleanup_timeout_secs\":10}}","topic_name":"sensor/data","status":"Idle","broker_id":"-","create_time":"2026-11-23 02:52:14","update_time":"2026-11-23 02:52:14"}],"total_count":1}`, stdout)
	}
}

func TestListWithoutAMatchIsAnEmptyTable(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"list": gives(emptyList)})
	for _, flag := range []string{"--connector-name", "-c", "-n"} {
		stdout, stderr, err := runMQTT("", "--server", server.URL, "connector", "list", flag, "nosuch")
		require.NoError(t, err)
		assert.Contains(t, stdout, "connector list result:\n+--")
		assert.Equal(t, 4, strings.Count(stdout, "\n"))
		assert.Empty(t, stderr)
		calls := server.asked()
		assert.Contains(t, calls[len(calls)-1].query, "connector_name=nosuch")
	}
}

func TestListPages(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"list": replay(t, "list: limit 1 page 1")})
	_, stderr, err := runMQTT("", "--server", server.URL, "--page", "2", "--limit", "1", "connector", "list", "--tenant", "default")
	require.NoError(t, err)
	query, err := url.ParseQuery(server.asked()[0].query)
	require.NoError(t, err)
	assert.Equal(t, url.Values{"limit": {"1"}, "page": {"2"}, "tenant": {"default"}}, query)
	assert.Equal(t, "note: 1 of 1 connectors are shown; --page and --limit show others\n", stderr)

	for _, args := range [][]string{{"--page", "0"}, {"--limit", "x"}, {"--limit", "-1"}} {
		_, _, err = runMQTT("", append([]string{"--server", server.URL, "connector", "list"}, args...)...)
		require.ErrorContains(t, err, "want a whole number from 1")
	}
}

func TestListTellsWhyAConnectorWaits(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"list": gives(
		`{"code":0,"data":{"data":[{"connector_name":"a\u001b[31m","status":"Running","reason":"Kafka is away"}],"total_count":1},"error":null}`)})
	stdout, _, err := runMQTT("", "--server", server.URL, "connector", "list")
	require.NoError(t, err)
	assert.Contains(t, stdout, "\na?[31m: Kafka is away\n")
	assert.NotContains(t, stdout, "\x1b", "a name must not reach the terminal's controls")
}

// What another server gives may hold what this one refuses.
func TestWhatAServerGivesCannotTurnTheDirectionOfWriting(t *testing.T) {
	noEnvironment(t)
	answer := `"data":[{"connector_name":"a\u202ebc\u2066d\u200fe\u061cf\u2028g","status":"Running","reason":"h\u202ei"}],"total_count":1`
	server := newScripted(t, map[string]http.HandlerFunc{
		"list":   gives(`{"code":0,"data":{` + answer + `},"error":null}`),
		"delete": gives(`{"code":100,"data":"","error":"there is no \u202egnp.j\u202c here"}`),
	})
	stdout, _, err := runMQTT("", "--server", server.URL, "connector", "list")
	require.NoError(t, err)
	assert.Contains(t, stdout, "\na?bc?d?e?f?g: h?i\n")
	assert.Equal(t, -1, strings.IndexFunc(strings.ReplaceAll(stdout, "\n", ""), connector.Hidden), "%q", stdout)

	_, _, err = runMQTT("", "--server", server.URL, "connector", "delete", "-c", "x")
	require.ErrorContains(t, err, "there is no ?gnp.j? here")
}

func TestDetailPrintsFigures(t *testing.T) {
	noEnvironment(t)
	answer := `{"last_send_time":1795402446,"send_success_total":50002,"send_fail_total":0,"last_msg":null,"last_error_time":0}`
	server := newScripted(t, map[string]http.HandlerFunc{"detail": gives(`{"code":0,"data":` + answer + `,"error":null}`)})
	stdout, _, err := runMQTT("", "--server", server.URL, "connector", "detail", "--connector-name", "k 1")
	require.NoError(t, err)
	sent := time.Unix(1795402446, 0).Format(time.DateTime)
	assert.Regexp(t, `\| last send time +\| `+sent+` +\|`, stdout)
	assert.Regexp(t, `\| send success total +\| 50002 +\|`, stdout)
	assert.Regexp(t, `\| last msg +\| - +\|`, stdout)
	assert.Regexp(t, `\| last error time +\| - +\|`, stdout)
	assert.Equal(t, "connector_name=k+1&tenant=default", server.asked()[0].query)

	stdout, _, err = runMQTT("", "--server", server.URL, "connector", "detail", "-c", "k 1", "--output", "json")
	require.NoError(t, err)
	assert.JSONEq(t, answer, stdout)

	server.answers["detail"] = replay(t, "detail: unknown name")
	_, _, err = runMQTT("", "--server", server.URL, "connector", "detail", "-c", "nosuch")
	require.EqualError(t, err, `reading the detail of connector "nosuch": Connector nosuch does not exist.`)
	_, _, err = runMQTT("", "--server", server.URL, "connector", "detail")
	require.ErrorContains(t, err, "name it with --connector-name")
}

func TestDetailWarnsOfAStrategyThatDropsMessages(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"detail": gives(`{"code":0,"data":{},"error":null,"notes":["discard drops what Kafka refuses"]}`)})
	for _, output := range []string{"table", "json"} {
		_, stderr, err := runMQTT("", "--server", server.URL, "connector", "detail", "-c", "a", "--output", output)
		require.NoError(t, err)
		assert.Equal(t, "note: discard drops what Kafka refuses\n", stderr)
	}
}

func TestCommandsNameAConnector(t *testing.T) {
	noEnvironment(t)
	for command, success := range map[string]string{
		"delete": "Deleted successfully!\n", "pause": "Paused successfully!\n", "resume": "Resumed successfully!\n", "restart": "Restarted successfully!\n",
	} {
		server := newScripted(t, map[string]http.HandlerFunc{command: replay(t, "delete k3")})
		for _, flag := range []string{"-c", "--connector-name"} {
			stdout, _, err := runMQTT("", "--server", server.URL, "connector", command, flag, "k3")
			require.NoError(t, err)
			assert.Equal(t, success, stdout)
			assert.Equal(t, map[string]any{"tenant": "default", "connector_name": "k3"}, server.body(t))
		}
		_, _, err := runMQTT("", "--server", server.URL, "connector", command)
		require.ErrorContains(t, err, "name it with --connector-name")

		server.answers[command] = replay(t, "delete: unknown name")
		stdout, _, err := runMQTT("", "--server", server.URL, "connector", command, "-c", "nosuch", "-T", "default")
		require.ErrorContains(t, err, "Connector nosuch Not found")
		assert.Empty(t, stdout)
	}
}
