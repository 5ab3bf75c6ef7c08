package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

const (
	// defaultLast is how many messages a tail begins with.
	defaultLast = 10
	// heartbeat is how often a tail sends something, so that a connection that is gone
	// is noticed, and a proxy does not take the connection for an idle one.
	heartbeat = 15 * time.Second
	// writeTime is how long a client may take for what it is sent.
	writeTime = 10 * time.Second
	// missedAfter is how often messages are told that were not shown and that no other
	// message has followed.
	missedAfter = time.Second
)

// tail answers with server-sent events until the client hangs up, the connector is
// deleted or the service stops.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) error {
	name, last, err := tailQuery(r)
	if err != nil {
		return err
	}
	reader, err := s.manager.Tail(name, last)
	if err != nil {
		if errors.Is(err, tail.ErrTooMany) {
			return &failure{status: http.StatusTooManyRequests, text: err.Error()}
		}
		return failed(name, err)
	}
	defer reader.Close()
	if r.Method == http.MethodHead {
		return nil
	}
	stream := &events{w: w, control: http.NewResponseController(w)}
	if err := stream.begin(); err != nil {
		return err
	}
	if s.options.Workers != nil {
		status, _, err := s.manager.Detail(name)
		if shown := len(status.Members); err == nil && shown < status.Parallelism {
			if err := stream.send(EventMembers, TailMembers{Shown: shown, All: status.Parallelism}); err != nil {
				return err
			}
		}
	}
	// What goes wrong from here on is that the client is gone.
	_ = s.follow(r, stream, reader)
	return nil
}

func tailQuery(r *http.Request) (name string, last int, err error) {
	q, name, err := connectorQuery(r, "last")
	if err != nil {
		return "", 0, err
	}
	last = defaultLast
	if q.values.Has("last") {
		if last, err = q.number("last"); err != nil {
			return "", 0, err
		}
		if last > tail.MaxLast {
			return "", 0, badQuery("last: %d is too many: a tail begins with %d messages at most", last, tail.MaxLast)
		}
	}
	return name, last, nil
}

// follow sends what a reader gets. It returns nil after it has sent the end.
func (s *Server) follow(r *http.Request, stream *events, reader *tail.Reader) error {
	stopping := make(chan struct{})
	defer s.onDrain(func() { close(stopping) })()
	missed, beat := time.NewTicker(missedAfter), time.NewTicker(heartbeat)
	defer missed.Stop()
	defer beat.Stop()
	for {
		select {
		case m, open := <-reader.Messages:
			if !open {
				return stream.send(EventEnd, TailEnd{reader.Ended()})
			}
			if err := stream.message(m); err != nil {
				return err
			}
		case <-missed.C:
			leftOut, dropped := reader.Missed()
			if err := stream.counts(leftOut, dropped); err != nil {
				return err
			}
		case <-beat.C:
			// A token may have been withdrawn.
			if _, refused := s.guard.admit(r, s.paths[PathTail]); refused != nil {
				return stream.send(EventEnd, TailEnd{refused.text})
			}
			if err := stream.comment("still here"); err != nil {
				return err
			}
		case <-stopping:
			return stream.send(EventEnd, TailEnd{"the service is stopping"})
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// events writes server-sent events. Each write has a deadline of its own: the stream
// outlives that of the server, and a client that does not read is hung up on.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (e *events) begin() error {
	// The deadline for reading a request would end the stream too.
	_ = e.control.SetReadDeadline(time.Time{}) // a writer of a test has none
	h := e.w.Header()
	setHeaders(h, "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	return e.comment("the messages of a connector as they get through")
}

func (e *events) comment(text string) error { return e.write([]byte(": " + text + "\n\n")) }

func (e *events) send(event string, data any) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\ndata: ", event)
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil { // one line, with its end
		return fmt.Errorf("encoding an event: %w", err)
	}
	b.WriteByte('\n')
	return e.write(b.Bytes())
}

func (e *events) counts(leftOut, dropped int64) error {
	if leftOut > 0 {
		if err := e.send(EventLeftOut, TailCount{leftOut}); err != nil {
			return err
		}
	}
	if dropped > 0 {
		return e.send(EventDropped, TailCount{dropped})
	}
	return nil
}

func (e *events) message(m tail.Message) error {
	if err := e.counts(m.LeftOut, m.Dropped); err != nil {
		return err
	}
	return e.send(EventMessage, tailMessage(m))
}

func (e *events) write(text []byte) error {
	// HTTP/2 ends a stream at its deadline, also where nothing is being written.
	defer func() { _ = e.control.SetWriteDeadline(time.Time{}) }()
	_ = e.control.SetWriteDeadline(time.Now().Add(writeTime)) // a writer of a test has none
	if _, err := e.w.Write(text); err != nil {
		return err
	}
	return e.control.Flush()
}

func tailMessage(m tail.Message) TailMessage {
	shown := TailMessage{
		Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Payload: excerptOf(m.Payload), KafkaTopic: m.KafkaTopic,
		Key: excerptOf(m.Key), Outcome: m.Outcome, Reason: withoutUserInfo(m.Reason),
		LatencyMS: float64(m.Latency.Microseconds()) / 1000,
	}
	if !m.Received.IsZero() {
		shown.Time = millisecondTime(m.Received)
	}
	if m.Value.Size != m.Payload.Size || !bytes.Equal(m.Value.Data, m.Payload.Data) {
		shown.Value = excerptOf(m.Value)
	}
	if m.Partition >= 0 {
		shown.Partition = &m.Partition
	}
	if m.Offset >= 0 {
		shown.Offset = &m.Offset
	}
	return shown
}
