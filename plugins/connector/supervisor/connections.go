package supervisor

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// connections reports the connections of a stream. The engine shows them only at the
// HTTP endpoint /ready: connections receives the endpoints that the engine would serve,
// keeps that one and reads its answer.
//
// An answer costs the engine more than anything else that it does at rest. So one by
// which all ends are connected is kept until the engine counts an event of a connection.
type connections struct {
	// started is closed when the stream was created: after that it can be stopped.
	started chan struct{}
	answer  http.HandlerFunc // of /ready; set before started is closed
	events  *atomic.Int64    // of the connections
	source  bool             // the input is that of Kafka

	mu        sync.Mutex
	seen      int64     // the events at the last look
	seenSince time.Time // when a look first saw that many
	kept      []end     // nil if the engine has to be asked
}

// settled is how long no event may have occurred before an answer is kept. The engine
// changes a state shortly before or after it counts the event.
const settled = time.Second

func newConnections(source bool, events *atomic.Int64) *connections {
	return &connections{started: make(chan struct{}), source: source, events: events}
}

// HandleFunc receives an endpoint. The engine registers /ready last, once.
func (c *connections) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	if pattern == "/ready" {
		c.answer = handler
		close(c.started)
	}
}

// end is one end of a pipeline.
type end struct {
	need      connector.Need // NeedKafka, NeedBroker or NeedBuffer
	connected bool
	err       string
}

func (e end) what() string {
	switch e.need {
	case connector.NeedKafka:
		return "Kafka"
	case connector.NeedBuffer:
		return "the disk buffer"
	}
	return "the MQTT broker"
}

// ends returns the ends of the stream as the engine reports them now, none before it
// has started.
func (c *connections) ends() []end {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.events.Load()
	if c.kept != nil && n == c.seen {
		return c.kept
	}
	select {
	case <-c.started:
	default:
		return nil
	}
	if n != c.seen || c.seenSince.IsZero() {
		c.seen, c.seenSince, c.kept = n, time.Now(), nil
	}
	rests := time.Since(c.seenSince) >= settled
	ends := c.ask()
	if rests && len(ends) > 0 && !slices.ContainsFunc(ends, func(e end) bool { return !e.connected }) {
		c.kept = ends
	}
	return ends
}

func (c *connections) ask() []end {
	var written body
	c.answer(&written, nil)
	var told struct {
		Statuses []struct {
			Path      string `json:"path"`
			Connected bool   `json:"connected"`
			Error     string `json:"error"`
		} `json:"statuses"`
	}
	if json.Unmarshal(written.Bytes(), &told) != nil {
		return nil
	}
	ends := make([]end, len(told.Statuses))
	for i, status := range told.Statuses {
		ends[i] = end{c.needOf(status.Path), status.Connected, status.Error}
	}
	return ends
}

// needOf returns the system that a component of a pipeline connects to. Its path is
// input, output, or starts with one of them.
func (c *connections) needOf(path string) connector.Need {
	if layer, _, _ := strings.Cut(path, "."); (layer == "input") != c.source {
		return connector.NeedBroker
	}
	return connector.NeedKafka
}

// body is an answer whose status and header are ignored.
type body struct{ bytes.Buffer }

func (*body) Header() http.Header { return http.Header{} }
func (*body) WriteHeader(int)     {}
