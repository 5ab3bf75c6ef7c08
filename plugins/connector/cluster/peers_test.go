package cluster

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/storetest"
)

const secret = "0123456789abcdef0123456789abcdef"

// writable is a store that this worker writes.
type writable struct{ *store.Dir }

func (writable) Lead(context.Context) error { return nil }
func (writable) Resign()                    {}

func writingService(t *testing.T) *Service {
	t.Helper()
	s, err := NewService(Options{Advertise: "http://a:1"}, secret, http.DefaultTransport)
	require.NoError(t, err)
	dir, err := store.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { _ = dir.Close() })
	s.local = writable{dir}
	s.writing = true
	return s
}

func (s *Service) ask(method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set(TokenHeader, token)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestTheWriterMakesTheChangesOfOtherWorkers(t *testing.T) {
	s := writingService(t)
	d, err := s.local.Create(store.Definition{Connector: storetest.Conn(t, "c", "t")})
	require.NoError(t, err)
	send := func(c change, err error) changed {
		t.Helper()
		require.NoError(t, err)
		body, err := json.Marshal(c)
		require.NoError(t, err)
		w := s.ask(http.MethodPost, pathChange, secret, string(body))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var answer changed
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		return answer
	}
	d.Connector.Status = "Stop"
	d.HandOver = []store.HandOver{{From: storetest.Conn(t, "c", "before"), Endpoints: []string{"h:1883"}}}
	assert.Equal(t, changed{}, send(change{Op: opPut}.about(d)))
	session := store.Session{Endpoint: "h:1883", ClientID: "id", Connector: "c", Made: true, Filters: []string{"a/#"}}
	assert.Equal(t, changed{}, send(change{Op: opPutSession, Session: &session}, nil))
	mark := send(change{Op: opMark}.about(d))
	assert.NotEmpty(t, mark.Text)
	all, err := s.local.Load()
	require.NoError(t, err)
	require.Len(t, all.Definitions, 1)
	assert.Equal(t, d.Connector.Config, all.Definitions[0].Connector.Config, "secrets included")
	assert.Equal(t, "Stop", all.Definitions[0].Connector.Status)
	assert.Equal(t, d.HandOver[0].Endpoints, all.Definitions[0].HandOver[0].Endpoints)
	assert.Equal(t, []store.Session{session}, all.Sessions)
	require.Len(t, all.Released, 1)

	assert.Equal(t, changed{}, send(change{Op: opForget, ID: mark.Text}.about(d)))
	assert.Equal(t, changed{}, send(change{Op: opDropSession, Session: &store.Session{Endpoint: "h:1883", ClientID: "id"}}, nil))
	assert.NotEmpty(t, send(change{Op: opRelease}.about(d)).Text)
	all, err = s.local.Load()
	require.NoError(t, err)
	assert.Empty(t, all.Definitions)
	assert.Empty(t, all.Sessions)
	assert.Len(t, all.Released, 1)

	assert.Contains(t, send(change{Op: "future"}, nil).Error, `op: "future" is unknown`)
	assert.Contains(t, send(change{Op: opPut, Definition: []byte("{")}, nil).Error, "reading the definition that another worker has sent")
	assert.Contains(t, send(change{Op: opPutSession}, nil).Error, "session: missing")
	s.writing = false
	assert.Equal(t, ErrNoWriter.Error(), send(change{Op: opPutSession, Session: &session}, nil).Error)
}

func TestAWorkerThatHasNotJoinedKnowsNoMembers(t *testing.T) {
	others, here, err := writingService(t).MembersAt(t.Context(), "c", 3)
	require.ErrorIs(t, err, errNotJoined)
	assert.Empty(t, others)
	assert.Empty(t, here)
}

// A worker that was stopped for a while may believe to be the writer.
func TestAWriterThatMissedARebalanceChangesNothing(t *testing.T) {
	s := writingService(t)
	r := httptest.NewRequest(http.MethodPost, pathChange, strings.NewReader(`{"op":"drop_session","session":{"endpoint":"h:1","client_id":"x"}}`))
	s.Sign(r.Header)
	assert.Equal(t, secret, r.Header.Get(TokenHeader))
	assert.Empty(t, r.Header.Get(generationHeader), "a worker that is no member knows none")
	r.Header.Set(generationHeader, "3")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	assert.Contains(t, w.Body.String(), ErrNoWriter.Error())
}

func TestTheGenerationOfACallIsComparedWithOurs(t *testing.T) {
	header := func(text string) http.Header {
		h := http.Header{}
		h.Set(generationHeader, text)
		return h
	}
	for text, is := range map[string]bool{"6": false, "7": false, "8": true, "": false, "-1": false, "x": false, "99999999999": false, "2147483647": true} {
		assert.Equal(t, is, behind(header(text), 7, true), text)
	}
	assert.True(t, behind(header("1"), 0, false), "a worker that is no member owns nothing")
	assert.False(t, behind(http.Header{}, 0, false), "a version that does not say")
}

func TestOnlyWorkersAreAnswered(t *testing.T) {
	s := writingService(t)
	for _, token := range []string{"", "x", secret + "x", strings.ToUpper(secret)} {
		assert.Equal(t, http.StatusUnauthorized, s.ask(http.MethodGet, pathStatuses, token, "").Code, token)
		assert.Equal(t, http.StatusUnauthorized, s.ask(http.MethodPost, pathChange, token, "{}").Code, token)
	}
	assert.Equal(t, "[]", s.ask(http.MethodGet, pathStatuses, secret, "").Body.String())
	assert.Equal(t, http.StatusNotFound, s.ask(http.MethodPost, pathStatuses, secret, "").Code)
	assert.Equal(t, http.StatusNotFound, s.ask(http.MethodGet, PathPrefix+"other", secret, "").Code)
	for _, body := range []string{"", "[]", `{"op":1}`, `{"definition":"` + strings.Repeat("A", maxChange) + `"}`} {
		assert.Equal(t, http.StatusBadRequest, s.ask(http.MethodPost, pathChange, secret, body).Code, "%.20s", body)
	}
	_, err := NewService(Options{Advertise: "http://a:1"}, "short", http.DefaultTransport)
	require.ErrorContains(t, err, "the token is shorter than 32 characters")
}
