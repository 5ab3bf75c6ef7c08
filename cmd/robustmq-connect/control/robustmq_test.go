package control

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func theirList(t *testing.T) http.HandlerFunc { return replay(t, "list (d9 d2 d5 k1 d4 d3 exist)") }

// A RobustMQ takes a strategy that it does not know for discard, and says success.
func TestCreateDoesNotSendBlockToARobustMQ(t *testing.T) {
	noEnvironment(t)
	server := newRobustMQ(t, map[string]http.HandlerFunc{"list": theirList(t), "create": gives(successAnswer)})
	create := []string{"--server", server.URL, "connector", "create", "-n", "k", "-c", `{"bootstrap_servers":"k:1","topic":"t"}`, "-p", "a"}
	for _, more := range [][]string{nil, {"--failure-strategy", "block"}, {"--failure-strategy", `{"strategy":"block"}`}} {
		_, _, err := runMQTT("", append(create[:len(create):len(create)], more...)...)
		require.EqualError(t, err, `creating connector "k": failure_strategy: the server is a RobustMQ, which does not know block and would discard what Kafka refuses: `+
			"name discard, discard_after_retry or dead_message_queue by --failure-strategy")
	}
	for _, call := range server.asked() {
		require.Equal(t, admin.PathList, call.path, "nothing was created")
	}
	stdout, _, err := runMQTT("", append(create, "--failure-strategy", "discard")...)
	require.NoError(t, err)
	require.Equal(t, "Created successfully!\n", stdout)
	require.Equal(t, map[string]any{"strategy": "discard"}, server.body(t)["failure_strategy"])
}

func TestCommandsThatARobustMQDoesNotHaveSaySo(t *testing.T) {
	noEnvironment(t)
	index := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html>")) // a client that went away fails its own test
	}
	for _, answer := range []http.HandlerFunc{http.NotFound, index, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) }} {
		server := newRobustMQ(t, map[string]http.HandlerFunc{"list": theirList(t), "detail": gives(`{"code":0,"data":{},"error":null}`)})
		for _, missing := range []string{"pause", "resume", "restart", "check", "update", "logs", "history", "rollback", "tail"} {
			server.answers[missing] = answer
		}
		definition := []string{"-n", "k", "-c", `{"bootstrap_servers":"k:1","topic":"t"}`, "-p", "a", "--failure-strategy", "discard"}
		for name, command := range map[string][]string{
			"pause":   {"pause", "-n", "k"},
			"resume":  {"resume", "-n", "k"},
			"restart": {"restart", "-n", "k"},
			"check":   append([]string{"check"}, definition...),
			"logs":    {"logs", "-n", "k"},
			"history": {"history", "-n", "k"},
			"tail":    {"tail", "-n", "k"},
		} {
			_, _, err := runMQTT("", append([]string{"--server", server.URL, "connector"}, command...)...)
			require.ErrorContains(t, err, server.URL+" is a RobustMQ, which has no such command: use it with the service of robustmq-connect", name)
		}
	}
}

// An answer of neither is still doubted, and so is one of ours.
func TestAnotherServerIsNoRobustMQ(t *testing.T) {
	noEnvironment(t)
	other := newRobustMQ(t, nil)
	_, _, err := runMQTT("", "--server", other.URL, "connector", "pause", "-n", "k")
	require.ErrorContains(t, err, "answered 404 Not Found: its admin API, if it is one, does not have this command")
	ours := newScripted(t, map[string]http.HandlerFunc{"list": theirList(t)})
	_, _, err = runMQTT("", "--server", ours.URL, "connector", "pause", "-n", "k")
	require.ErrorContains(t, err, "answered 404 Not Found")
	require.Len(t, ours.asked(), 1)
}

func TestImportLogsInToARobustMQ(t *testing.T) {
	noEnvironment(t)
	robustmq := newRobustMQ(t, nil)
	robustmq.answers = map[string]http.HandlerFunc{
		"login": func(w http.ResponseWriter, r *http.Request) {
			if robustmq.body(t)["password"] != "right" {
				w.WriteHeader(http.StatusUnauthorized)
				gives(`{"code":401,"message":"Invalid username or password","data":null}`)(w, r)
				return
			}
			gives(`{"code":0,"message":"success","data":{"token":"JWT","expires_in":28800}}`)(w, r)
		},
		"list": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer JWT" {
				w.WriteHeader(http.StatusUnauthorized)
				gives(`{"code":401,"message":"Missing token","data":null}`)(w, r)
				return
			}
			gives(`{"code":0,"data":{"data":[{"connector_name":"r","connector_type":"kafka","config":"{\"Kafka\":{\"bootstrap_servers\":\"k:1\",\"topic\":\"t\",\"retries\":0}}","tenant":"default","topic_name":"a"}],"total_count":1},"error":null}`)(w, r)
		},
	}
	here := newScripted(t, map[string]http.HandlerFunc{"list": gives(`{"code":0,"data":{"data":[],"total_count":0},"error":null}`), "create": gives(successAnswer)})
	password := filepath.Join(t.TempDir(), "password")
	line := []string{"--server", here.URL, "connector", "import", "--from", robustmq.URL}

	_, _, err := runMQTT("", line...)
	require.ErrorContains(t, err, "Missing token: log in to this RobustMQ by --username and --password-file, or give the token of its /api/v1/login")
	require.NoError(t, os.WriteFile(password, []byte("wrong\n"), 0o600))
	line = append(line, "--username", "admin", "--password-file", password)
	_, _, err = runMQTT("", line...)
	require.ErrorContains(t, err, `as "admin": Invalid username or password`)
	for _, bad := range [][]string{{"--from-token-file", password}, {"--format", "protobuf"}} {
		_, _, err = runMQTT("", append(line[:len(line):len(line)], bad...)...)
		require.Error(t, err, bad)
	}

	require.NoError(t, os.WriteFile(password, []byte("right\n"), 0o600))
	stdout, stderr, err := runMQTT("", append(line, "--failure-strategy", "dead_message_queue")...)
	require.NoError(t, err)
	assert.Equal(t, "r: created\n1 created, 0 skipped, 0 failed\n", stdout)
	assert.Equal(t, "note: records are RobustMQ's storage record, as there; offset, segment and shard, which only RobustMQ knows, are 0, 0 and empty\n"+
		"note: dead letters go to the Kafka topic of the strategy; RobustMQ writes them to an MQTT topic of that name\n"+
		"r: note: retries 0 becomes 1: a record that Kafka has not taken is sent once more before it fails\n", stderr)
	var config map[string]map[string]any
	require.NoError(t, json.Unmarshal([]byte(here.body(t)["config"].(string)), &config))
	assert.Equal(t, map[string]map[string]any{"Kafka": {"bootstrap_servers": "k:1", "topic": "t", "retries": 1.0, "format": "robustmq_record"}}, config)
}

func TestImportTakesAFormat(t *testing.T) {
	noEnvironment(t)
	row := `{"code":0,"data":{"data":[{"connector_name":"r","connector_type":"kafka","config":"{\"bootstrap_servers\":\"k:1\",\"topic\":\"t\"}","tenant":"default","topic_name":"a"}],"total_count":1},"error":null}`
	empty := gives(`{"code":0,"data":{"data":[],"total_count":0},"error":null}`)
	for _, test := range []struct {
		format, note string
		ours         bool
		want         any
	}{
		{"robustmq_json", "adapt the consumers, or import with --format robustmq_record", false, "robustmq_json"},
		{"raw", "records are the payloads alone", false, "raw"},
		{"", "records are RobustMQ's storage record", false, "robustmq_record"},
		{"", "", true, nil},
		{"raw", "", true, "raw"},
	} {
		from := newRobustMQ(t, map[string]http.HandlerFunc{"list": gives(row)})
		from.robustmq = !test.ours
		here := newScripted(t, map[string]http.HandlerFunc{"list": empty, "create": gives(successAnswer)})
		line := []string{"--server", here.URL, "connector", "import", "--from", from.URL}
		if test.format != "" {
			line = append(line, "--format", test.format)
		}
		_, stderr, err := runMQTT("", line...)
		require.NoError(t, err)
		if test.note == "" {
			assert.Empty(t, stderr)
		} else {
			assert.Contains(t, stderr, test.note)
		}
		var config map[string]any
		require.NoError(t, json.Unmarshal([]byte(here.body(t)["config"].(string)), &config))
		assert.Equal(t, test.want, config["format"])
	}
}
