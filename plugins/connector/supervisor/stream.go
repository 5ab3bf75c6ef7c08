package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// stream is a connector's pipeline while it runs.
type stream struct {
	engine *service.Stream
	ended  chan struct{} // closed when Run has returned
	err    error         // why; read it after ended

	mu    sync.Mutex
	ready http.HandlerFunc // the engine's account of its connections
}

// HandleFunc takes the endpoints that the engine would serve. One of them is the
// only way to learn of a stream's connections.
func (s *stream) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	if pattern == "/ready" {
		s.mu.Lock()
		s.ready = handler
		s.mu.Unlock()
	}
}

// start builds the pipeline of c and runs it. What is wrong with it may only be
// told by err after ended: the engine constructs components when it runs.
func (s *Supervisor) startStream(e *entry, c connector.Connector) (*stream, error) {
	c = s.effective(c)
	document, _ := connector.Pipeline(c)
	b := s.env.NewStreamBuilder()
	b.DisableLinting() // it was linted when the definition came
	b.SetEnvVarLookupFunc(func(string) (string, bool) { return "", false })
	b.SetLogger(s.logger(e, c))
	st := &stream{ended: make(chan struct{})}
	b.SetHTTPMux(st)
	if err := b.SetYAML(string(document)); err != nil {
		return nil, err
	}
	if err := b.SetMetricsYAML(fmt.Sprintf("%s: { %s: %d }", exporterName, exporterField, e.id)); err != nil {
		return nil, err
	}
	b.SetThreads(1) // SetYAML has set another number, which does not keep the order
	var err error
	if st.engine, err = b.Build(); err != nil {
		return nil, err
	}
	go func() {
		defer close(st.ended)
		// Stopping is what ends it: of a context that ends while the stream starts,
		// a lock would remain.
		st.err = st.engine.Run(context.Background())
	}()
	return st, nil
}

// stop lets the stream finish what is in flight, for the given time at most, and
// returns when it has ended. The error says that it did not.
func (s *stream) stop(drain time.Duration) error {
	for {
		// The engine takes a quarter of the time for an end that is not graceful.
		err := s.engine.StopWithin(max(drain+drain/3, 2*time.Second))
		if err == nil {
			break
		}
		// Between the start of Run and its first step there is nothing to stop yet.
		if !strings.Contains(err.Error(), "not been run") {
			break
		}
		select {
		case <-s.ended: // it could not start
			return nil
		case <-time.After(time.Millisecond):
		}
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(5 * time.Second):
		return errors.New("the stream does not end")
	}
}

// end is one end of a pipeline.
type end struct {
	what      string // Kafka or the MQTT broker
	connected bool
	err       string
}

// ends are both ends, as the engine sees them now. Before it has started there
// are none.
func (s *stream) ends() []end {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	if ready == nil {
		return nil
	}
	answer := httptest.NewRecorder()
	ready(answer, nil)
	var body struct {
		Statuses []struct {
			Path      string `json:"path"`
			Connected bool   `json:"connected"`
			Error     string `json:"error"`
		} `json:"statuses"`
	}
	if json.Unmarshal(answer.Body.Bytes(), &body) != nil {
		return nil
	}
	var ends []end
	for _, status := range body.Statuses {
		what := "Kafka"
		if strings.Contains(status.Path, "input") {
			what = "the MQTT broker"
		}
		ends = append(ends, end{what, status.Connected, status.Error})
	}
	return ends
}
