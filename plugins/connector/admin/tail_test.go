package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// tailable is a Manager whose connector c can be tailed.
func tailable() (*memory, *tail.Feed) {
	m := newMemory()
	feed := m.hub.NewFeed()
	m.feeds = map[string]*tail.Feed{"c": feed}
	m.all["c"] = connector.Status{Name: "c", State: connector.Running}
	return m, feed
}

const tailC = PathTail + "?tenant=default&connector_name=c"

// tailing is a tail over a connection of its own.
type tailing struct {
	t      *testing.T
	conn   net.Conn
	answer *http.Response
	lines  *bufio.Scanner
}

func startTail(t *testing.T, p *pipes, target string) *tailing {
	t.Helper()
	return readTail(t, p.dial(), fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, listening))
}

func readTail(t *testing.T, conn net.Conn, request string) *tailing {
	t.Helper()
	_, err := conn.Write([]byte(request))
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	return &tailing{t, conn, answer, bufio.NewScanner(answer.Body)}
}

// next is the next event, or a comment as an event of that name.
func (s *tailing) next() (event, data string) {
	s.t.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		if comment, ok := strings.CutPrefix(line, ": "); ok {
			event, data = "comment", comment
		} else if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = name
		} else if text, ok := strings.CutPrefix(line, "data: "); ok {
			data = text
		} else {
			require.Empty(s.t, line)
			return event, data
		}
	}
	return "closed", ""
}

func TestATailSendsTheLastMessagesAndThenThoseThatComeAsEvents(t *testing.T) {
	m, feed := tailable()
	withPipes(t, m, Options{}, func(p *pipes) {
		first := startTail(t, p, tailC)
		at := time.Date(2026, 11, 23, 2, 52, 14, 123e6, time.UTC)
		feed.Offer(1, func(int) tail.Message {
			return tail.Message{
				Received: at, Latency: 1500 * time.Microsecond, Topic: "a/<b>", QoS: 1, Retain: true, Payload: excerpt.Of([]byte{0xff}),
				KafkaTopic: "k", Key: excerpt.Of([]byte("a/b")), Value: excerpt.Of([]byte(`{"é":"` + strings.Repeat("x", 5000))), Partition: 2, Offset: 7, Outcome: "sent",
			}
		})
		second := startTail(t, p, tailC+"&last=1")
		for _, s := range []*tailing{first, second} {
			assert.Equal(t, "text/event-stream", s.answer.Header.Get("Content-Type"))
			assert.Equal(t, "no-store", s.answer.Header.Get("Cache-Control"))
			event, _ := s.next()
			assert.Equal(t, "comment", event)
			event, data := s.next()
			assert.Equal(t, EventMessage, event)
			value := `{\"é\":\"` + strings.Repeat("x", excerpt.Max-len(`{"é":"`))
			assert.Equal(t, `{"time":"2026-11-23T02:52:14.123Z","latency_ms":1.5,"topic":"a/<b>","qos":1,"retain":true,`+
				`"payload":{"base64":"/w==","size":1},"kafka_topic":"k","partition":2,"offset":7,"key":{"text":"a/b","size":3},`+
				`"value":{"text":"`+value+`","size":5007,"cut":true},"outcome":"sent","reason":""}`, data)
		}
		third := startTail(t, p, tailC+"&last=0")
		_, _ = third.next()
		feed.Offer(1, func(int) tail.Message {
			return tail.Message{Topic: "a", Payload: excerpt.Of([]byte("same")), Value: excerpt.Of([]byte("same")), Partition: -1, Offset: -1, Outcome: "discarded", Reason: "too large"}
		})
		_, data := third.next()
		assert.Equal(t, `{"time":"","latency_ms":0,"topic":"a","qos":0,"retain":false,"payload":{"text":"same","size":4},"kafka_topic":"",`+
			`"partition":null,"offset":null,"key":null,"value":null,"outcome":"discarded","reason":"too large"}`, data)
		for _, s := range []*tailing{first, second, third} {
			require.NoError(t, s.conn.Close())
		}
		synctest.Wait()
		time.Sleep(tail.Grace + time.Second)
		assert.False(t, feed.Watched(), "a client that hangs up is noticed")
	})
}

// Other answers end after a minute, and requests after half of one.
func TestATailOutlivesTheTimesOfOtherAnswersAndBeats(t *testing.T) {
	m, feed := tailable()
	withPipes(t, m, Options{}, func(p *pipes) {
		s := startTail(t, p, tailC)
		_, _ = s.next()
		for range 40 {
			began := time.Now()
			event, data := s.next()
			assert.Equal(t, "comment", event)
			assert.Equal(t, "still here", data)
			assert.Equal(t, heartbeat, time.Since(began))
		}
		feed.Offer(1, func(int) tail.Message { return tail.Message{Topic: "late"} })
		event, _ := s.next()
		assert.Equal(t, EventMessage, event)
		require.NoError(t, s.conn.Close())
	})
}

func TestATailTellsWhatItDoesNotShow(t *testing.T) {
	m, feed := tailable()
	withPipes(t, m, Options{}, func(p *pipes) {
		s := startTail(t, p, tailC)
		_, _ = s.next()
		batch := func(n int) { feed.Offer(n, func(int) tail.Message { return tail.Message{Outcome: "sent"} }) }
		batch(tail.PerSecond + 980)
		for range tail.PerSecond {
			event, _ := s.next()
			require.Equal(t, EventMessage, event)
		}
		event, data := s.next()
		assert.Equal(t, EventLeftOut, event)
		assert.JSONEq(t, `{"count":980}`, data)

		// The client does not read: what does not fit into its queue is dropped, and the
		// stream does not wait.
		for range 100 {
			time.Sleep(time.Second / tail.PerSecond)
			batch(1)
		}
		read, dropped := 0, int64(0)
		for read+int(dropped) < 100 {
			switch event, data = s.next(); event {
			case EventMessage:
				read++
			case EventDropped:
				var count TailCount
				require.NoError(t, json.Unmarshal([]byte(data), &count))
				dropped += count.Count
			default:
				require.Equal(t, "comment", event)
			}
		}
		assert.Positive(t, dropped)
		require.NoError(t, s.conn.Close())
	})
}

func TestATailOfAClientThatDoesNotReadIsHungUpOn(t *testing.T) {
	m, feed := tailable()
	withPipes(t, m, Options{}, func(p *pipes) {
		s := startTail(t, p, tailC)
		_, _ = s.next()
		time.Sleep(2*heartbeat + writeTime + time.Second)
		synctest.Wait()
		time.Sleep(tail.Grace)
		assert.False(t, feed.Watched())
		require.NoError(t, s.conn.Close())
	})
}

func TestATailEndsWithItsConnector(t *testing.T) {
	m, feed := tailable()
	withPipes(t, m, Options{}, func(p *pipes) {
		s := startTail(t, p, tailC)
		_, _ = s.next()
		feed.End("the connector was deleted")
		event, data := s.next()
		assert.Equal(t, EventEnd, event)
		assert.JSONEq(t, `{"reason":"the connector was deleted"}`, data)
		event, _ = s.next()
		assert.Equal(t, "closed", event)
		require.NoError(t, s.conn.Close())
	})
}

// The service does not wait for a client to hang up.
func TestATailEndsAtOnceWithTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := tailable()
		s := newServer(t, m, Options{})
		p := newPipes()
		s.listener = p
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		stream := startTail(t, p, tailC)
		_, _ = stream.next()
		synctest.Wait()
		cancel()
		began := time.Now()
		event, data := stream.next()
		assert.Equal(t, EventEnd, event)
		assert.JSONEq(t, `{"reason":"the service is stopping","again":true}`, data)
		event, _ = stream.next()
		assert.Equal(t, "closed", event)
		require.NoError(t, <-served)
		assert.Less(t, time.Since(began), time.Second)
		require.NoError(t, stream.conn.Close())
	})
}

func TestATailOfAWithdrawnTokenEnds(t *testing.T) {
	all := newHolders(t)
	others, err := os.ReadFile(newHolders(t).file)
	require.NoError(t, err)
	m, _ := tailable()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, m, Options{TokensFile: all.file})
		w := ask(s.Handler(), http.MethodGet, tailC, "", all.as("read-payloads"), func(r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			context.AfterFunc(t.Context(), cancel)
			*r = *r.WithContext(ctx)
			time.AfterFunc(time.Minute, func() {
				if err := os.WriteFile(all.file, others, 0o600); err != nil {
					t.Error(err)
				}
				s.Reload()
			})
		})
		assert.True(t, strings.HasSuffix(w.Body.String(),
			"event: end\ndata: {\"reason\":\"this needs the header Authorization: Bearer TOKEN with a token of --api-token-file or --api-tokens-file\"}\n\n"), w.Body)
	})
}

func TestATailThatCannotBeIsRefused(t *testing.T) {
	m, feed := tailable()
	h := newServer(t, m, Options{}).Handler()
	for target, want := range map[string]struct {
		status int
		text   string
	}{
		PathTail + "?tenant=default":                     {http.StatusBadRequest, "missing field `connector_name`"},
		PathTail + "?connector_name=c":                   {http.StatusBadRequest, "missing field `tenant`"},
		PathTail + "?tenant=t2&connector_name=c":         {http.StatusBadRequest, `tenant: \"t2\" does not exist`},
		PathTail + "?tenant=default&connector_name=gone": {http.StatusOK, "Connector gone does not exist."},
		tailC + "&last=51":                               {http.StatusBadRequest, "last: 51 is too many: a tail begins with 50 messages at most"},
		tailC + "&last=x":                                {http.StatusBadRequest, `last: "x" is not a number`},
		tailC + "&last=1&last=2":                         {http.StatusBadRequest, "duplicate field `last`"},
	} {
		w := ask(h, http.MethodGet, target, "")
		assert.Equal(t, want.status, w.Code, target)
		assert.Contains(t, w.Body.String(), want.text, target)
	}
	assert.False(t, feed.Watched())
	for range tail.MaxReadersEach {
		r, err := feed.Open(0)
		require.NoError(t, err)
		defer r.Close()
	}
	w := ask(h, http.MethodGet, tailC, "")
	assert.Equal(t, http.StatusTooManyRequests, w.Code)
	assert.Equal(t, "too many tails are open: a connector has 8 at once; close one of them", refusal(t, w))
}

func TestDetailHasTheLastMessageOnlyForThoseWhoMaySeeMessages(t *testing.T) {
	all := newHolders(t)
	m := newMemory()
	m.all["c"] = connector.Status{Name: "c", State: connector.Running}
	text := "21.5"
	m.figures["c"] = connector.Figures{LastMessage: &text}
	h := newServer(t, m, Options{TokensFile: all.file}).Handler()
	target := PathDetail + "?tenant=default&connector_name=c"
	assert.Equal(t, &text, read[Detail](t, ask(h, http.MethodGet, target, "", all.as("read-payloads"))).LastMsg)
	assert.Nil(t, read[Detail](t, ask(h, http.MethodGet, target, "", all.as("read"))).LastMsg)
	assert.Nil(t, read[Detail](t, ask(h, http.MethodGet, target, "", all.as("admin"))).LastMsg)
}
