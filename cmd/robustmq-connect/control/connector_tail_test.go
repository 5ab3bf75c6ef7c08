package control

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

const (
	sentEvent = `{"time":"2026-11-25T10:00:00.123Z","latency_ms":1.5,"topic":"a/\u001b[2J","qos":1,"retain":false,"payload":{"text":"21.5\n","size":5},` +
		`"kafka_topic":"t","partition":2,"offset":7,"key":{"text":"a","size":1},"value":{"text":"{}","size":2},"outcome":"sent","reason":""}`
	readEvent = `{"time":"2026-11-25T10:00:02.000Z","latency_ms":2,"topic":"","qos":0,"retain":false,"payload":null,` +
		`"kafka_topic":"in","partition":1,"offset":8,"key":null,"value":{"text":"22","size":2},"outcome":"sent","reason":""}`
	deadEvent = `{"time":"2026-11-25T10:00:01.000Z","latency_ms":2,"topic":"b","qos":0,"retain":true,"payload":{"base64":"/wA=","size":5000,"cut":true},` +
		`"kafka_topic":"t","partition":null,"offset":null,"key":null,"value":null,"outcome":"dead_lettered","reason":"too large"}`
)

// streams answers with this text as server-sent events.
func streams(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}

func TestTailPrintsMessagesAndCountsWhatIsNotShown(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"tail": streams(": hello\n\nevent: members\ndata: {\"shown\":1,\"all\":4,\"missing\":[{\"worker\":\"http://w2\",\"members\":[2,4],\"reason\":\"it does\\nnot answer\"},{\"worker\":\"\",\"members\":[3],\"reason\":\"it moves\"}]}\n\n" +
		"event: members\ndata: {\"shown\":4,\"all\":4,\"missing\":[]}\n\nevent: message\ndata: " + sentEvent +
		"\n\nevent: left_out\ndata: {\"count\":900}\n\nevent: left_out\ndata: {\"count\":80}\n\nevent: dropped\ndata: {\"count\":3}\n\nevent: later\ndata: {}\n\nevent: message\ndata: " + deadEvent +
		"\n\nevent: message\ndata: " + readEvent + "\n\nevent: end\ndata: {\"reason\":\"the connector was deleted\"}\n\n")})
	stdout, stderr, err := runMQTT("", "--server", server.URL, "connector", "tail", "-c", "k 1", "--last", "2")
	require.EqualError(t, err, `tailing connector "k 1": the connector was deleted`)
	at := func(s int, ms int) string {
		return time.Date(2026, 11, 25, 10, 0, s, ms*1e6, time.UTC).Local().Format("2006-01-02 15:04:05.000")
	}
	assert.Equal(t, at(0, 123)+" a/?[2J -> t/2@7: 21.5 \n"+at(1, 0)+" b -> t (dead-lettered: too large): base64:/wA=… (5000 bytes)\n"+at(2, 0)+" in/1@8: 22\n", stdout)
	assert.Equal(t, "note: these are the messages of 1 of 4 members\nnote: not shown: member 2, 4 of the worker http://w2: it does not answer\nnote: not shown: member 3: it moves\n"+
		"note: these are the messages of all members again\nnote: 980 messages are not shown: there are more than 20 a second\nnote: 3 messages are not shown: this program or the network was too slow\n", stderr)
	assert.Equal(t, "connector_name=k+1&last=2&tenant=default", server.asked()[0].query)

	stdout, _, err = runMQTT("", "--server", server.URL, "connector", "tail", "-c", "k", "--output", "json")
	require.Error(t, err)
	assert.Equal(t, sentEvent+"\n"+deadEvent+"\n"+readEvent+"\n", stdout)
	assert.Equal(t, "connector_name=k&tenant=default", server.asked()[1].query)
}

func TestTailFailsWithTheReason(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"tail": replay(t, "detail: unknown name")})
	_, _, err := runMQTT("", "--server", server.URL, "connector", "tail", "-c", "nosuch")
	require.EqualError(t, err, `tailing connector "nosuch": Connector nosuch does not exist.`)
	_, _, err = runMQTT("", "--server", server.URL, "connector", "tail")
	require.EqualError(t, err, "tailing a connector: name it with --connector-name")
	server.answers["tail"] = gives(successAnswer)
	_, _, err = runMQTT("", "--server", server.URL, "connector", "tail", "-c", "k")
	require.ErrorContains(t, err, "check that --server leads to an admin API")
	server.Close()
	_, _, err = runMQTT("", "--server", server.URL, "connector", "tail", "-c", "k")
	require.ErrorContains(t, err, "start the server with robustmq-connect serve")
}

// sooner tries a lost tail again sooner, and gives it up sooner.
func sooner(t *testing.T) {
	t.Helper()
	before := tailAgain
	t.Cleanup(func() { tailAgain = before })
	tailAgain.pause, tailAgain.patience, tailAgain.lasting = time.Millisecond, 200*time.Millisecond, time.Minute
}

func TestALostTailGoesOn(t *testing.T) {
	noEnvironment(t)
	sooner(t)
	tailAgain.patience = time.Minute
	message := func(text string) string { return "event: message\ndata: " + text + "\n\n" }
	begins := []http.HandlerFunc{
		streams(message(sentEvent) + message(deadEvent) + "event: end\ndata: {\"reason\":\"the service is stopping\",\"again\":true}\n\n"),
		func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			gives(`{"code":100,"data":"","error":"connectors move between workers at the moment: try again soon"}`)(w, nil)
		},
		func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no upstream", http.StatusBadGateway) },
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		streams(message(deadEvent) + message(readEvent)), // and it is cut
		streams(message(readEvent) + "event: end\ndata: {\"reason\":\"the connector was deleted\"}\n\n"),
	}
	server := newScripted(t, map[string]http.HandlerFunc{"tail": func(w http.ResponseWriter, r *http.Request) {
		next := begins[0]
		begins = begins[1:]
		next(w, r)
	}})
	stdout, stderr, err := runMQTT("", "--server", server.URL, "connector", "tail", "-c", "k", "--output", "json", "--last", "3")
	require.EqualError(t, err, `tailing connector "k": the connector was deleted`)
	assert.Equal(t, sentEvent+"\n"+deadEvent+"\n"+readEvent+"\n", stdout, "each once")
	assert.Equal(t, "note: the service is stopping: trying again for 1m0s\nnote: the messages are shown again\nnote: the messages are shown again\n", stderr)
	var queries []string
	for _, one := range server.asked() {
		queries = append(queries, one.query)
	}
	again := "connector_name=k&last=50&tenant=default"
	assert.Equal(t, []string{"connector_name=k&last=3&tenant=default", again, again, again, again, again}, queries)
}

func TestALostTailIsGivenUp(t *testing.T) {
	noEnvironment(t)
	sooner(t)
	server := newScripted(t, map[string]http.HandlerFunc{"tail": streams(": hello\n\n")})
	_, stderr, err := runMQTT("", "--server", server.URL, "connector", "tail", "-c", "k", "--last", "3")
	require.EqualError(t, err, `tailing connector "k": the server has ended the answer: look at its log`)
	assert.Equal(t, 1, strings.Count(stderr, "trying again for"))
	require.Greater(t, len(server.asked()), 2)
	assert.Equal(t, "connector_name=k&last=3&tenant=default", server.asked()[1].query, "nothing was shown yet")

	// Somebody has deleted the connector meanwhile.
	first := true
	server.answers["tail"] = func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			streams("event: message\ndata: "+sentEvent+"\n\n")(w, r)
			return
		}
		replay(t, "detail: unknown name")(w, r)
	}
	_, _, err = runMQTT("", "--server", server.URL, "connector", "tail", "-c", "k")
	require.EqualError(t, err, `tailing connector "k": Connector nosuch does not exist.`)

	// What this program cannot do is not tried again.
	server.answers["tail"] = streams("event: message\ndata: {\n\n")
	before := len(server.asked())
	_, _, err = runMQTT("", "--server", server.URL, "connector", "tail", "-c", "k")
	require.ErrorContains(t, err, "reading a message of the server")
	assert.Len(t, server.asked(), before+1)
}

func TestTailEndsWithoutAnErrorWhenItIsInterrupted(t *testing.T) {
	noEnvironment(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	server := newScripted(t, map[string]http.HandlerFunc{"tail": func(w http.ResponseWriter, r *http.Request) {
		streams("event: message\ndata: "+sentEvent+"\n\n")(w, r)
		w.(http.Flusher).Flush()
		interrupt()
		<-r.Context().Done()
	}})
	var out, errOut bytes.Buffer
	app := &ucli.App{Name: cli.BinaryName, Writer: &out, ErrWriter: &errOut, Commands: []*ucli.Command{Command(lintDocument)}, ExitErrHandler: func(*ucli.Context, error) {}}
	require.NoError(t, app.RunContext(ctx, []string{cli.BinaryName, "mqtt", "--server", server.URL, "connector", "tail", "-c", "c"}))
	assert.LessOrEqual(t, strings.Count(out.String(), "\n"), 1)
	assert.Empty(t, errOut.String())
}

func TestTailWorksAtASocket(t *testing.T) {
	noEnvironment(t)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(streams("event: end\ndata: {\"reason\":\"the connector was deleted\"}\n\n"))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	_, _, err = runMQTT("", "--server", "unix:"+path, "connector", "tail", "-c", "k")
	require.EqualError(t, err, `tailing connector "k": the connector was deleted`)
}
