package admin

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// The URLs of the second and the third worker, by names that each accepts.
const (
	url2 = "http://localhost:58080"
	url3 = "http://127.0.0.1:58080"
)

// tailers are three workers, each of which runs a member of the connector c. The first one
// is its owner.
type tailers struct {
	t     *testing.T
	pipes [3]*pipes
	feeds [3]*tail.Feed
	own   *memory
	ends  [3]context.CancelFunc
	ended [3]chan error

	mu    sync.Mutex
	dials map[string]func() (net.Conn, error) // in place of that of a worker, by URL
	at    map[string][]int
	here  []int
	atErr error
	asked int // how often a worker was asked
}

// withTailers serves all of them in a bubble with a time of its own.
func withTailers(t *testing.T, test func(t *testing.T, w *tailers)) {
	synctest.Test(t, func(t *testing.T) {
		w := &tailers{t: t, dials: map[string]func() (net.Conn, error){}, at: map[string][]int{url2: {1}, url3: {2}}, here: []int{0}}
		transport := &http.Transport{DialContext: w.dial}
		for i := range w.pipes {
			var m *memory
			m, w.feeds[i] = tailable()
			one := m.all["c"]
			one.Parallelism = 3
			m.all["c"] = one
			workers := &twoWorkers{theirs: map[string]bool{"c": i > 0}, places: w.places, transport: transport}
			s := newServer(t, m, Options{Workers: workers})
			w.pipes[i] = newPipes()
			s.listener = w.pipes[i]
			if i == 0 {
				w.own = m
			}
			var ctx context.Context
			ctx, w.ends[i] = context.WithCancel(t.Context())
			w.ended[i] = make(chan error, 1)
			go func() { w.ended[i] <- s.Serve(ctx) }()
		}
		test(t, w)
		transport.CloseIdleConnections()
		for i := range w.pipes {
			w.ends[i]()
			require.NoError(t, <-w.ended[i])
		}
		time.Sleep(2 * tail.Grace)
	})
}

func (w *tailers) places() (others map[string][]int, here []int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	others = map[string][]int{}
	for at, members := range w.at {
		others[at] = members
	}
	return others, w.here, w.atErr
}

func (w *tailers) dial(_ context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.asked++
	dial := w.dials["http://"+address]
	w.mu.Unlock()
	switch {
	case dial != nil:
		return dial()
	case "http://"+address == url2:
		return w.pipes[1].dial(), nil
	}
	return w.pipes[2].dial(), nil
}

func refusing() (net.Conn, error) { return nil, errors.New("connection refused") }

// answering answers with a text, and with nothing from then on.
func answering(text string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(theirs))
			_, _ = io.WriteString(theirs, text)
			_, _ = io.Copy(io.Discard, theirs) // until the caller hangs up
			_ = theirs.Close()
		}()
		return ours, nil
	}
}

func (w *tailers) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// offer lets a worker get a message through.
func (w *tailers) offer(worker int, payload string) {
	w.feeds[worker].Offer(1, func(int) tail.Message {
		return tail.Message{Received: time.Now(), Payload: excerpt.Of([]byte(payload)), Outcome: "sent"}
	})
}

// payload is that of the next event, which is a message.
func (s *tailing) payload() string {
	s.t.Helper()
	event, data := s.next()
	require.Equal(s.t, EventMessage, event, data)
	var m TailMessage
	require.NoError(s.t, json.Unmarshal([]byte(data), &m))
	return *m.Payload.Text
}

// about is the next event, which is about members.
func (s *tailing) about() string {
	s.t.Helper()
	event, data := s.next()
	for event == "comment" {
		event, data = s.next()
	}
	require.Equal(s.t, EventMembers, event, data)
	return data
}

func TestATailShowsTheMessagesOfAllWorkersThatRunMembers(t *testing.T) {
	withTailers(t, func(t *testing.T, w *tailers) {
		first := startTail(t, w.pipes[0], tailC)
		_, _ = first.next()
		synctest.Wait()
		for i := range 9 {
			w.offer(i%3, strconv.Itoa(i))
			assert.Equal(t, strconv.Itoa(i), first.payload())
			time.Sleep(time.Second / 10)
		}
		second := startTail(t, w.pipes[0], tailC+"&last=4")
		_, _ = second.next()
		for i := range 4 {
			assert.Equal(t, strconv.Itoa(5+i), second.payload(), "the newest of all workers, in their order")
		}
		w.offer(2, "more")
		assert.Equal(t, "more", first.payload())
		assert.Equal(t, "more", second.payload())
		require.NoError(t, first.conn.Close())
		require.NoError(t, second.conn.Close())
		time.Sleep(2*tail.Grace + heartbeat)
		for _, f := range w.feeds {
			assert.False(t, f.Watched(), "a client that hangs up is noticed by all workers")
		}
	})
}

func TestATailNamesTheWorkersThatItDoesNotShow(t *testing.T) {
	withTailers(t, func(t *testing.T, w *tailers) {
		w.set(func() { w.dials[url2], w.dials[url3] = refusing, answering("") })
		s := startTail(t, w.pipes[0], tailC)
		_, _ = s.next()
		began := time.Now()
		const refused = `{"worker":"` + url2 + `","members":[2],"reason":"connection refused"}`
		// By their URLs.
		assert.Equal(t, `{"shown":1,"all":3,"missing":[{"worker":"`+url3+`","members":[3],"reason":"it does not answer"},`+refused+`]}`, s.about())
		assert.Equal(t, beginTimeout, time.Since(began))
		w.offer(0, "here")
		assert.Equal(t, "here", s.payload())

		w.set(func() { delete(w.dials, url3) })
		assert.Equal(t, `{"shown":2,"all":3,"missing":[`+refused+`]}`, s.about())
		w.set(func() { delete(w.dials, url2) })
		assert.Equal(t, `{"shown":3,"all":3,"missing":[]}`, s.about())
		w.offer(1, "there")
		assert.Equal(t, "there", s.payload())

		// One stops, and its member moves.
		w.ends[2]()
		require.NoError(t, <-w.ended[2])
		w.ended[2] <- nil
		w.set(func() { w.dials[url3] = refusing })
		assert.Equal(t, `{"shown":2,"all":3,"missing":[{"worker":"`+url3+`","members":[3],"reason":"the service is stopping"}]}`, s.about())
		w.set(func() { w.at = map[string][]int{url2: {1, 2}} })
		data := s.about()
		if data != `{"shown":3,"all":3,"missing":[]}` { // it may have been tried again before
			data = s.about()
		}
		assert.Equal(t, `{"shown":3,"all":3,"missing":[]}`, data)

		// Nobody is known to run one.
		w.set(func() { w.at, w.atErr = map[string][]int{url2: {1}}, cluster.ErrNoOwner })
		assert.Equal(t, `{"shown":2,"all":3,"missing":[{"worker":"","members":[3],"reason":"`+cluster.ErrNoOwner.Error()+`"}]}`, s.about())
		// There is one member from now on.
		w.own.mu.Lock()
		one := w.own.all["c"]
		one.Parallelism = 0
		w.own.all["c"] = one
		w.own.mu.Unlock()
		assert.Equal(t, `{"shown":1,"all":1,"missing":[]}`, s.about())
		w.offer(0, "last")
		assert.Equal(t, "last", s.payload())
		require.NoError(t, s.conn.Close())
	})
}

// The connection of a worker that is killed ends in the middle of its answer.
func TestATailSaysThatAWorkerWasKilled(t *testing.T) {
	withTailers(t, func(t *testing.T, w *tailers) {
		const begins = "event: " + eventBegun + "\ndata: {}\n\n"
		w.set(func() {
			w.dials[url3] = func() (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					_, _ = http.ReadRequest(bufio.NewReader(theirs))
					_, _ = fmt.Fprintf(theirs, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(begins), begins)
					_ = theirs.Close()
				}()
				return ours, nil
			}
		})
		s := startTail(t, w.pipes[0], tailC)
		assert.Equal(t, `{"shown":2,"all":3,"missing":[{"worker":"`+url3+`","members":[3],"reason":"it has ended its answer"}]}`, s.about())
		require.NoError(t, s.conn.Close())
	})
}

// A worker that has died without a word is noticed by its silence, and one that sends what
// is no tail is not believed.
func TestATailNamesAWorkerThatFallsSilentOrIsNone(t *testing.T) {
	const begins = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: " + eventBegun + "\ndata: {}\n\n"
	for text, reason := range map[string]string{
		begins + ": x\n\n":                                                               "it does not answer",
		begins + "event: message\ndata: []\n\n":                                          "reading a message: json: cannot unmarshal array into Go value of type admin.TailMessage",
		begins + "event: dropped\ndata: 1\n\n":                                           "reading a count: json: cannot unmarshal number into Go value of type admin.TailCount",
		begins + "event: end\ndata: 1\n\n":                                               "reading the end: json: cannot unmarshal number into Go value of type admin.TailEnd",
		begins + "data: " + strings.Repeat("x", maxTailEvent+1):                          "bufio.Scanner: token too long",
		"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n": "it answers 302 Found",
		"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n" +
			`{"code":100,"data":null,"error":"full"}`[:38]: "it answers 429 Too Many Requests",
		"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n" +
			`{"code":100,"data":null,"error":"full"}`: "full",
	} {
		withTailers(t, func(t *testing.T, w *tailers) {
			w.set(func() {
				w.at = map[string][]int{url3: {1, 2}}
				w.dials[url3] = answering(text)
			})
			s := startTail(t, w.pipes[0], tailC)
			assert.Equal(t, `{"shown":1,"all":3,"missing":[{"worker":"`+url3+`","members":[2,3],"reason":"`+reason+`"}]}`, s.about())
			require.NoError(t, s.conn.Close())
		})
	}
}

func TestTheWorkersTogetherShowNoMoreMessagesThanOne(t *testing.T) {
	withTailers(t, func(t *testing.T, w *tailers) {
		s := startTail(t, w.pipes[0], tailC)
		_, _ = s.next()
		synctest.Wait()
		for i := range w.feeds {
			w.feeds[i].Offer(100, func(int) tail.Message { return tail.Message{Received: time.Now(), Outcome: "sent"} })
		}
		shown, leftOut := 0, int64(0)
		for shown+int(leftOut) < 300 {
			event, data := s.next()
			if event == EventMessage {
				shown++
				continue
			}
			require.Equal(t, EventLeftOut, event)
			var n TailCount
			require.NoError(t, json.Unmarshal([]byte(data), &n))
			leftOut += n.Count
		}
		assert.Equal(t, tail.PerSecond, shown)
		require.NoError(t, s.conn.Close())
	})
}

// forAWorker makes a request for a tail one of another worker, which shows what this one runs.
func forAWorker(r *http.Request) {
	r.Header.Set(cluster.TokenHeader, workersToken)
	r.Header.Set(forwardedHeader, base64.StdEncoding.EncodeToString([]byte(`{"name":"x","role":"read","payloads":true}`)))
	r.Header.Set(ownHeader, "1")
}

func TestATailForAnotherWorkerIsOfItsOwnMembers(t *testing.T) {
	withTailers(t, func(t *testing.T, w *tailers) {
		feed := w.feeds[1]
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url2+tailC, nil)
		require.NoError(t, err)
		forAWorker(r)
		r.Host = listening
		var text strings.Builder
		require.NoError(t, r.Write(&text))
		s := readTail(t, w.pipes[1].dial(), text.String())
		_, _ = s.next()
		event, _ := s.next()
		assert.Equal(t, eventBegun, event)
		feed.Offer(1, func(int) tail.Message { return tail.Message{Outcome: "sent"} })
		event, _ = s.next()
		assert.Equal(t, EventMessage, event)
		assert.Zero(t, w.asked, "it goes one hop")
		require.NoError(t, s.conn.Close())
	})
}

// A worker that has missed a rebalance may show what others run now.
func TestATailForAWorkerThatKnowsBetterIsRefused(t *testing.T) {
	m, _ := tailable()
	workers := &twoWorkers{behind: true}
	s := newServer(t, m, Options{Workers: workers})
	w := ask(s.Handler(), http.MethodGet, tailC, "", forAWorker)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Body.String(), errMoving.Error())

	// Only a worker may ask for that, also through another one.
	other, last := neighbour(t, `{"code":100,"data":"","error":"no"}`)
	s = newServer(t, m, Options{Workers: other})
	other.theirs["c"] = true
	ask(s.Handler(), http.MethodGet, tailC, "", func(r *http.Request) { r.Header.Set(ownHeader, "1") })
	r, _, _ := last()
	require.NotNil(t, r)
	assert.Empty(t, r.Header.Get(ownHeader))
	assert.Equal(t, connector.DefaultTenant, r.URL.Query().Get("tenant"))
}
