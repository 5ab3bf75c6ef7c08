package admin

import (
	"bytes"
	"context"
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
	if s.asksForOwn(r) && s.options.Workers.Behind(r.Header) {
		return &failure{status: http.StatusServiceUnavailable, text: errMoving.Error()}
	}
	kept := len(reader.Messages)
	stream := &events{w: w, control: http.NewResponseController(w)}
	if err := stream.begin(); err != nil {
		return err
	}
	others := s.openOthers(r, name, last)
	defer others.close()
	stopping := make(chan struct{})
	defer s.onDrain(func() { close(stopping) })()
	one := &viewer{stream: stream, reader: reader, others: others}
	// What goes wrong from here on is that the client is gone.
	if s.asksForOwn(r) {
		err = one.beginForAWorker(kept)
	} else {
		err = one.begin(r.Context(), stopping, kept, last)
	}
	if err == nil {
		_ = s.follow(r, one, stopping)
	}
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
		if last > MaxLast {
			return "", 0, badQuery("last: %d is too many: a tail begins with %d messages at most", last, MaxLast)
		}
	}
	return name, last, nil
}

// viewer is who gets a tail.
type viewer struct {
	stream *events
	reader *tail.Reader
	others *otherTails
	said   string // the last event about members, "" where all are shown

	rate             tail.Rate
	leftOut, dropped int64 // not told yet
}

// begin sends what the workers have kept, the newest, when all of them have begun or do not
// in time.
func (t *viewer) begin(ctx context.Context, stopping <-chan struct{}, kept, last int) error {
	if t.others == nil {
		return nil // the reader has it
	}
	select {
	case <-t.others.begun:
	case <-stopping:
		return nil // follow says so
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := t.members(); err != nil {
		return err
	}
	mine := make([]TailMessage, 0, kept)
	for range kept {
		m, open := <-t.reader.Messages
		if !open {
			break
		}
		mine = append(mine, t.take(m))
	}
	for _, m := range t.others.takeKept(mine, last) {
		if err := t.stream.send(EventMessage, m); err != nil {
			return err
		}
	}
	return nil
}

// beginForAWorker sends what this worker has kept, and says when that ends.
func (t *viewer) beginForAWorker(kept int) error {
	for range kept {
		m, open := <-t.reader.Messages
		if !open {
			break
		}
		if err := t.show(t.take(m)); err != nil {
			return err
		}
	}
	return t.stream.send(eventBegun, struct{}{})
}

// members says of how many members the messages are where that has changed.
func (t *viewer) members() error {
	if t.others == nil {
		return nil
	}
	told, known := t.others.members()
	if !known {
		return nil
	}
	says := ""
	if told.Shown < told.All {
		says = fmt.Sprint(told)
	}
	if says == t.said {
		return nil
	}
	t.said = says
	return t.stream.send(EventMembers, told)
}

// take counts what was not shown before a message of this worker.
func (t *viewer) take(m tail.Message) TailMessage {
	t.leftOut += m.LeftOut
	t.dropped += m.Dropped
	return tailMessage(m)
}

// show sends a message, and before it what was not shown. The workers together show no more
// messages a second than one does.
func (t *viewer) show(m TailMessage) error {
	if t.others.any() && !t.rate.Pass(time.Now()) {
		t.leftOut++
		return nil
	}
	if err := t.counts(); err != nil {
		return err
	}
	return t.stream.send(EventMessage, m)
}

// counts tells what was not shown.
func (t *viewer) counts() error {
	leftOut, dropped := t.others.missed()
	leftOut, dropped = leftOut+t.leftOut, dropped+t.dropped
	t.leftOut, t.dropped = 0, 0
	return t.stream.counts(leftOut, dropped)
}

// follow sends what comes. It returns nil after it has sent the end.
func (s *Server) follow(r *http.Request, t *viewer, stopping <-chan struct{}) error {
	missed, beat := time.NewTicker(missedAfter), time.NewTicker(heartbeat)
	defer missed.Stop()
	defer beat.Stop()
	stream := t.stream
	for {
		select {
		case m, open := <-t.reader.Messages:
			if !open {
				return stream.send(EventEnd, TailEnd{Reason: t.reader.Ended()})
			}
			if err := t.show(t.take(m)); err != nil {
				return err
			}
		case m := <-t.others.queue():
			if err := t.show(m); err != nil {
				return err
			}
		case <-missed.C:
			leftOut, dropped := t.reader.Missed()
			t.leftOut, t.dropped = t.leftOut+leftOut, t.dropped+dropped
			if err := t.counts(); err != nil {
				return err
			}
			if err := t.members(); err != nil {
				return err
			}
		case <-beat.C:
			// A token may have been withdrawn.
			if _, refused := s.guard.admit(r, s.paths[PathTail]); refused != nil {
				return stream.send(EventEnd, TailEnd{Reason: refused.text})
			}
			if err := stream.comment("still here"); err != nil {
				return err
			}
		case <-stopping:
			return stream.send(EventEnd, TailEnd{Reason: "the service is stopping", Again: true})
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
