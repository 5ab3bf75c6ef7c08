package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// calm says when the queue of a session is taken for empty: MQTT does not tell.
type calm struct {
	// quiet is how long nothing arrives while everything is acknowledged.
	quiet time.Duration
	// redelivery is quiet where messages were not acknowledged when the connection
	// ended: some brokers (NATS) wait half a minute before they send them again.
	redelivery time.Duration
	// settled is how long a session is read that never becomes quiet because its topics
	// are busy: what arrives then was published meanwhile.
	settled time.Duration
}

var usualCalm = calm{3 * time.Second, 35 * time.Second, 30 * time.Second}

// handOver delivers what waits in the sessions that updates gave up, with the Kafka
// side as it is now, before the connector runs as it is defined now. Each session
// that is done with is taken out of the definition, so that a restart goes on there.
//
// Nothing is lost on the way from one session to the next: the new one is subscribed
// before the old one is unsubscribed, and read after it. What is published in between
// is delivered twice, in order, as after a reconnect.
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

// handedOver takes the first session out of the definition and leaves its removal to
// the sessions' owner.
func (r *run) handedOver(d *store.Definition) error {
	s := r.supervisor
	from := d.HandOver[0].From
	next := store.Definition{Connector: d.Connector, HandOver: slices.Clone(d.HandOver)}
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

// deliver reads one session until nothing is left in it.
func (r *run) deliver(ctx context.Context, now, from connector.Connector, endpoint string) error {
	s := r.supervisor
	old, err := s.sideOf(from)
	if err != nil {
		return err
	}
	next, err := s.sideOf(now)
	if err != nil {
		return err
	}
	old = old.At(endpoint)
	r.wait(connector.NeedUpdate, fmt.Errorf("what waits in the session %q at %s is delivered before it takes effect; update with discard_waiting to go on without", old.ClientID, endpoint))
	pause := s.quiet
	if r.entry.unsettled.Load() {
		pause = s.redelivery
	}
	reserved := false
	unreachable := func(ctx context.Context) {
		// The old broker is away. The new one keeps what arrives from now on.
		if !reserved {
			reserved = s.sessions.Reserve(ctx, next) == nil
		}
	}
	if err := r.read(ctx, now, from, old, pause, unreachable); err != nil {
		return err
	}
	if old.ClientID == next.ClientID {
		// The session stays: under another name of its broker it may be the one that the
		// connector has from now on.
		return nil
	}
	if err := s.sessions.Reserve(ctx, next); err != nil {
		return err
	}
	if err := s.sessions.Silence(ctx, old, endpoint); err != nil {
		return err
	}
	return r.read(ctx, now, from, old, time.Second, func(context.Context) {})
}

// read runs a stream on a session, which subscribes to nothing, until the session is
// quiet. Each time that the broker is not reached, it calls unreachable.
func (r *run) read(ctx context.Context, now, from connector.Connector, old session.Side, pause time.Duration, unreachable func(context.Context)) error {
	document, err := readingDocument(r.supervisor.effective(now), r.supervisor.effective(from), old)
	if err != nil {
		return err
	}
	st, err := r.supervisor.startDocument(r.entry, now, document)
	if err != nil {
		return err
	}
	r.attach(st)
	defer r.attach(nil)
	err = r.untilQuiet(ctx, st, pause, unreachable)
	if st.guard.Err() != nil {
		return r.crashed(ctx, st, now.Name)
	}
	r.end(st, now.Name, r.drain(st))
	return errors.Join(err, r.stopErr)
}

func (r *run) untilQuiet(ctx context.Context, st *stream, pause time.Duration, unreachable func(context.Context)) error {
	beat := time.NewTicker(100 * time.Millisecond)
	defer beat.Stop()
	var connected, changed time.Time
	var received int64
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-st.guard.Tripped():
			return st.guard.Err()
		case <-st.ended:
			if st.err == nil {
				return errors.New("the stream has ended by itself")
			}
			return st.err
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
		if time.Since(changed) >= pause || time.Since(connected) >= max(r.supervisor.settled, pause) {
			return nil
		}
	}
}

// readingDocument is the pipeline of a connector with the MQTT side of a former
// definition, which goes on with its session and subscribes to nothing. The template
// of the input always subscribes, so that the input which it stands on is used.
func readingDocument(now, from connector.Connector, old session.Side) ([]byte, error) {
	now.MQTT = from.MQTT
	text, _ := connector.Pipeline(now)
	var pipeline struct {
		Input  map[string]any
		Output map[string]any
	}
	if err := yaml.Unmarshal(text, &pipeline); err != nil {
		return nil, fmt.Errorf("reading the pipeline of %q: %w", now.Name, err)
	}
	input, ok := pipeline.Input["robustmq_kafka"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the pipeline of %q has no input robustmq_kafka", now.Name)
	}
	urls := make([]string, len(old.URLs))
	for i, u := range old.URLs {
		urls[i] = u.String()
	}
	if user, ok := input["username"]; ok {
		input["user"] = user
	}
	delete(input, "username")
	delete(input, "topic_id")
	input["topics"], input["urls"], input["clean_session"] = []string{}, urls, false
	delete(pipeline.Input, "robustmq_kafka")
	pipeline.Input["mqtt"] = input
	return yaml.Marshal(map[string]any{"input": pipeline.Input, "output": pipeline.Output})
}
