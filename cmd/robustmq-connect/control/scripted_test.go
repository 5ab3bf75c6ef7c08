package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

const recordedExchanges = "../../../plugins/connector/admin/testdata/robustmq_exchanges.jsonl"

// exchange is one line of what was recorded from a running RobustMQ.
type exchange struct {
	Name, Client, Method, Path, Request, Response string
	Status                                        int
	ContentType                                   string `json:"content_type"`
}

func recordedExchange(t *testing.T, name string) exchange {
	t.Helper()
	file, err := os.Open(recordedExchanges)
	require.NoError(t, err)
	defer func() { assert.NoError(t, file.Close()) }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e exchange
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("nothing was recorded as %q", name)
	return exchange{}
}

// asked is one request that a scripted server got.
type asked struct {
	method, path, query, body, token, ifMatch string
}

// scripted is an admin API that gives prepared answers and keeps what it was
// asked.
type scripted struct {
	*httptest.Server
	answers map[string]http.HandlerFunc // by the last part of the path
	// robustmq: it does not say that it is this program.
	robustmq bool

	mu    sync.Mutex
	calls []asked
}

func newScripted(t *testing.T, answers map[string]http.HandlerFunc) *scripted {
	t.Helper()
	s := &scripted{answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// newRobustMQ is a scripted server that is a RobustMQ.
func newRobustMQ(t *testing.T, answers map[string]http.HandlerFunc) *scripted {
	s := newScripted(t, answers)
	s.robustmq = true
	return s
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)                // a client that went away fails its own test
	r.Body = io.NopCloser(bytes.NewReader(body)) // for the answer
	s.mu.Lock()
	s.calls = append(s.calls, asked{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Get("Authorization"), r.Header.Get("If-Match")})
	s.mu.Unlock()
	if !s.robustmq {
		w.Header().Set("Server", admin.ServerName)
	}
	action := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if answer := s.answers[action]; answer != nil && (strings.HasPrefix(r.URL.Path, "/api/cluster/connector/") || strings.HasPrefix(r.URL.Path, "/api/mqtt/connector/") || r.URL.Path == pathLogin) {
		answer(w, r)
		return
	}
	http.NotFound(w, r)
}

func (s *scripted) asked() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// body gives the JSON of the last request.
func (s *scripted) body(t *testing.T) map[string]any {
	t.Helper()
	calls := s.asked()
	require.NotEmpty(t, calls)
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(calls[len(calls)-1].body), &body))
	return body
}

// replay answers as RobustMQ did.
func replay(t *testing.T, name string) http.HandlerFunc {
	e := recordedExchange(t, name)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", e.ContentType)
		w.WriteHeader(e.Status)
		_, _ = io.WriteString(w, e.Response) // a client that went away fails its own test
	}
}

// gives answers with this text.
func gives(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// tagged is an answer about a connector at a revision.
func tagged(etag, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		gives(text)(w, r)
	}
}

const successAnswer = `{"code":0,"data":"success","error":null}`

// noEnvironment keeps the variables of whoever runs the tests out of them.
func noEnvironment(t *testing.T) {
	t.Setenv(serverVariable, "")
	t.Setenv(tokenVariable, "")
}
