package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// calm says when the queue of a session counts as empty, which MQTT does not report.
type calm struct {
	// quiet is how long nothing must arrive while everything is acknowledged.
	quiet time.Duration
	// redelivery replaces quiet if messages were not acknowledged when the connection
	// ended: some brokers (NATS) wait half a minute before they redeliver them.
	redelivery time.Duration
	// settled is how long a session is read that never becomes quiet because its topics
	// are busy: later messages were published in the meantime.
	settled time.Duration
	// rest replaces quiet if all waiting messages were read a moment before.
	rest time.Duration
}

var usualCalm = calm{quiet: 3 * time.Second, redelivery: 35 * time.Second, settled: 30 * time.Second, rest: time.Second}

// unbounded reads until the session is quiet, without a time limit.
const unbounded = time.Duration(math.MaxInt64)

// handOver delivers the messages in sessions that updates gave up, or whose filter they
// changed, to the current Kafka side, before the connector runs with its current
// definition. It removes each finished session from the definition, so that a restart
// continues there.
func (r *run) handOver(ctx context.Context, d *store.Definition) error {
	for len(d.HandOver) > 0 {
		from, endpoint := d.HandOver[0].From, d.HandOver[0].Endpoints[0]
		if err := r.deliver(ctx, d.Connector, from, endpoint); err != nil {
			return err
		}
		if err := r.handedOver(d); err != nil {
			return err
		}
	}
	return nil
}

// handedOver removes the first session from the definition and leaves its removal at
// the broker to the sessions' owner.
func (r *run) handedOver(d *store.Definition) error {
	s := r.supervisor
	from := d.HandOver[0].From
	next := store.Definition{Connector: d.Connector, Revision: d.Revision, Actor: d.Actor, HandOver: slices.Clone(d.HandOver)}
	if rest := next.HandOver[0].Endpoints[1:]; len(rest) > 0 {
		next.HandOver[0].Endpoints = rest
	} else {
		next.HandOver = next.HandOver[1:]
	}
	mark, err := s.store.Mark(store.Definition{Connector: from})
	if err != nil {
		return &storeError{err}
	}
	if err := s.store.Put(next); err != nil {
		return &storeError{errors.Join(err, s.store.Forget(mark))}
	}
	*d = next
	s.setDefinition(r.entry, next)
	sides, err := s.sessions.SidesOf(next)
	if err != nil {
		return err
	}
	s.sessions.Settle(next.Connector.Name, sides...)
	return s.sessions.GiveUp(mark)
}

// deliver reads one session until it contains only messages that the next subscription
// gets too. No message is lost:
//
//  1. The waiting messages are read, until the session is quiet.
//  2. The next subscription is made. Messages published from now on are in both, and
//     are delivered twice, in order, as after a reconnect.
//  3. Messages that arrived between the two steps are read. Some brokers (Artemis,
//     NATS) would drop them with the old subscription.
//  4. The old subscription is ended, so that no more messages arrive.
//  5. The rest is read to its end: a session that is given up is removed after it.
//
// If the session stays and only its filter changes, reading it makes the next
// subscription, and the stream that joins it afterwards ends the old one.
func (r *run) deliver(ctx context.Context, now, from connector.Connector, endpoint string) error {
	s := r.supervisor
	old, err := s.sideOf(from)
	if err != nil {
		return err
	}
	next, err := s.successorOf(now, old)
	if err != nil {
		return err
	}
	old = old.At(endpoint)
	stays := old.ClientID == next.ClientID && !next.Clean && len(next.At(endpoint).URLs) > 0
	r.wait(connector.NeedUpdate, fmt.Errorf("messages that wait in the session %q at %s are delivered before the update takes effect; update with discard_waiting to discard them", old.ClientID, endpoint))
	reserved := false
	unreachable := func(ctx context.Context) {
		// The old broker is unavailable. The new one keeps the messages that arrive
		// from now on.
		if !reserved && !stays {
			reserved = s.sessions.Reserve(ctx, next) == nil
		}
	}
	topics := []string{}
	read := func(pause, most time.Duration) (quiet bool, err error) {
		if r.entry.unsettled.Load() {
			pause = max(pause, s.redelivery)
		}
		document, err := readingDocument(s.effective(now), s.effective(from), old, topics)
		if err != nil {
			return false, err
		}
		return r.read(ctx, now, document, pause, most, unreachable)
	}
	quiet, err := read(s.quiet, s.settled)
	if err != nil {
		return err
	}
	if old.ClientID == next.ClientID && !stays {
		// By another name of its broker, it may be the connector's current session: so
		// it is not changed.
		if !quiet {
			r.tellBusy(now.Name, old, endpoint, "messages that arrive there from now on stay in it, as long as the connector exists")
		}
		return nil
	}
	if stays {
		topics = []string{next.Filter}
	} else if err := s.sessions.Reserve(ctx, next); err != nil {
		return err
	}
	// These messages arrived within moments. A topic that is never quiet would only
	// repeat messages of the next subscription.
	if quiet, err = read(s.rest, s.settled/3); err != nil {
		return err
	}
	if !quiet {
		r.tellBusy(now.Name, old, endpoint, "its filter is unsubscribed now, and a broker that drops the messages waiting for it (Artemis, NATS) drops those that could not be read so far")
	}
	if stays {
		return nil
	}
	if err := s.sessions.Silence(ctx, old, endpoint); err != nil {
		return err
	}
	_, err = read(s.rest, unbounded)
	return err
}

// successorOf returns the side of the member that goes on with a session, or of the first
// one.
func (s *Supervisor) successorOf(now connector.Connector, old session.Side) (session.Side, error) {
	sides, err := s.sidesOf(now)
	if err != nil {
		return session.Side{}, err
	}
	for _, side := range sides {
		if side.ClientID == old.ClientID {
			return side, nil
		}
	}
	return sides[0], nil
}

func (r *run) tellBusy(name string, old session.Side, endpoint, then string) {
	r.supervisor.log.Warn("Messages keep arriving in a session that an update gave up: "+then, "connector", name, "client_id", old.ClientID, "endpoint", endpoint)
}

// read runs a pipeline until its session is quiet, or for at most most. It calls
// unreachable each time that the broker cannot be reached.
func (r *run) read(ctx context.Context, now connector.Connector, document []byte, pause, most time.Duration, unreachable func(context.Context)) (quiet bool, err error) {
	st, err := r.supervisor.startDocument(r.entry, now, document)
	if err != nil {
		return false, err
	}
	r.attach(st)
	defer r.attach(nil)
	quiet, err = r.untilQuiet(ctx, st, pause, most, unreachable)
	if st.guard.Err() != nil {
		return false, r.crashed(ctx, st, now.Name)
	}
	r.noteUnsettled(st)
	r.end(st, now.Name, r.drain(st))
	return quiet, errors.Join(err, r.stopErr)
}

func (r *run) untilQuiet(ctx context.Context, st *stream, pause, most time.Duration, unreachable func(context.Context)) (quiet bool, err error) {
	beat := time.NewTicker(100 * time.Millisecond)
	defer beat.Stop()
	var connected, changed time.Time
	var received int64
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-st.guard.Tripped():
			return false, st.guard.Err()
		case <-st.ended:
			if st.err == nil {
				return false, errors.New("the stream has ended by itself")
			}
			return false, st.err
		case <-beat.C:
		}
		both := true
		ends := st.ends()
		for _, e := range ends {
			if both = both && e.connected; !e.connected && e.err != "" && e.need == connector.NeedBroker {
				unreachable(ctx)
			}
		}
		if !both || len(ends) == 0 {
			connected = time.Time{}
			continue
		}
		if connected.IsZero() {
			connected, changed = time.Now(), time.Now()
		}
		if n := r.entry.figures.sum(metricReceived); n != received || r.entry.figures.report().InFlight > 0 {
			received, changed = n, time.Now()
		}
		if quiet = time.Since(changed) >= pause; quiet || time.Since(connected) >= max(most, pause) {
			return quiet, nil
		}
	}
}

// readingDocument returns the pipeline of a connector with the MQTT side of a former
// definition, which continues the session and subscribes only to the given topics. The
// input template always subscribes to its filter, so the pipeline uses the input below
// it.
func readingDocument(now, from connector.Connector, old session.Side, topics []string) ([]byte, error) {
	buffer := now.MQTT.Get("disk_buffer")
	now.MQTT = from.MQTT.Without("disk_buffer")
	if buffer != nil {
		// What is in it is older than what is read.
		now.MQTT = now.MQTT.With(connector.Settings{{Name: "disk_buffer", Value: buffer}})
	}
	text, _ := connector.Pipeline(now)
	urls := make([]string, len(old.URLs))
	for i, u := range old.URLs {
		urls[i] = u.String()
	}
	return changedInput(now.Name, text, func(input map[string]any) (string, map[string]any) {
		if user, ok := input["username"]; ok {
			input["user"] = user
		}
		buffer, buffered := input["disk_buffer"].(map[string]any)
		for _, name := range []string{"username", "topic_id", "disk_buffer"} {
			delete(input, name)
		}
		input["topics"], input["urls"], input["clean_session"] = topics, urls, false
		if !buffered {
			return "mqtt", input
		}
		buffer["input"] = map[string]any{"mqtt": input}
		return "disk_buffer", buffer
	})
}
