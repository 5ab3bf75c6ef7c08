package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// owed is what the messages of a batch still need from us.
type owed struct {
	in       *input
	session  *session // by which they came; nil for those that are ours alone
	messages []message
	attempts int          // how often they were handed over
	size     atomic.Int64 // of the messages, until they are answered for
}

// batch makes a batch of messages, which it keeps, and the function that
// acknowledges it.
func (i *input) batch(s *session, messages []message, attempts int) (service.MessageBatch, service.AckFunc, error) {
	o := &owed{in: i, session: s, messages: messages, attempts: attempts + 1}
	size := 0
	for k := range messages {
		messages[k].owed = o
		size += messages[k].size
	}
	o.size.Store(int64(size))
	i.handed.Add(int64(size))
	return batchOf(messages), o.answer, nil
}

func deliveries(messages []message) (all []*delivery) {
	for i := range messages {
		if d := messages[i].delivery; d != nil {
			all = append(all, d)
		}
	}
	return all
}

// answer is the batch's acknowledgement function.
func (o *owed) answer(_ context.Context, err error) error {
	defer func() {
		o.in.handed.Add(-o.size.Swap(0)) // once
		o.in.conf.share.Released()
	}()
	o.in.monitor.note(err)
	if err == nil {
		o.ack(o.messages)
		o.release()
		return nil
	}
	good, bad := o.split(err)
	o.ack(good)
	if o.in.conf.replay {
		o.in.replays.add(replay{o.session, kept(bad), o.attempts})
	} else {
		o.reject(bad, err)
	}
	o.release()
	return nil
}

// release lets go of what the messages of an answered batch hold. Somebody may
// keep one of them, which is a place in the array of all, for as long as he likes.
func (o *owed) release() {
	for i := range o.messages {
		m := &o.messages[i]
		m.payload, m.properties, m.delivery = nil, nil, nil
	}
}

// kept makes messages independent of those that arrived with them.
func kept(messages []message) []message {
	for i := range messages {
		m := &messages[i]
		m.owed = nil
		if len(m.payload) <= ownAllocSize { // it shares an arena
			m.payload = bytes.Clone(m.payload)
		}
	}
	return messages
}

func (o *owed) ack(messages []message) {
	o.measure(messages)
	if o.session != nil {
		if tickets := spans(messages); len(tickets) > 0 {
			o.session.ack(tickets)
		}
	}
	// Those of QoS 2 may have come again meanwhile, by another connection.
	if deliveries := deliveries(messages); len(deliveries) > 0 {
		for _, a := range o.session.broker.qos2.ack(deliveries) {
			a.on.ack(a.tickets)
		}
	}
}

// measure counts how long messages took. They are in the order of their receipt, and
// those that were read together came at one time: it looks at few of them.
func (o *owed) measure(messages []message) {
	if o.in.latency == nil {
		return
	}
	now := time.Now()
	for len(messages) > 0 {
		received := messages[0].received
		n := sort.Search(len(messages), func(i int) bool { return messages[i].received.After(received) })
		o.in.latency.Observe(now.Sub(received), n)
		messages = messages[n:]
	}
}

// split tells the messages that the error says to be done with from the others.
// A message that it does not speak of, since a processor has dropped it or put
// it into another, is among the others: it is rather repeated than lost.
func (o *owed) split(err error) (good, bad []message) {
	var partial *service.BatchError
	if !errors.As(err, &partial) || partial.IndexedErrors() == 0 {
		return nil, slices.Clone(o.messages)
	}
	written, failed := make([]bool, len(o.messages)), make([]bool, len(o.messages))
	//nolint:staticcheck // it is deprecated for its indexes, which are not used
	partial.WalkMessages(func(_ int, msg *service.Message, err error) bool {
		if m, ok := msg.Context().Value(messageKey{}).(*message); ok && m.owed == o {
			if err == nil {
				written[m.place] = true
			} else {
				failed[m.place] = true
			}
		}
		return true
	})
	for i, m := range o.messages {
		if written[i] && !failed[i] {
			good = append(good, m)
		} else {
			bad = append(bad, m)
		}
	}
	return good, bad
}

// reject ends the connection by which messages came that the pipeline does not
// take, so that the broker delivers them again on the next.
func (o *owed) reject(rejected []message, err error) {
	// As text: the error would keep the batch that it speaks of.
	err = fmt.Errorf("the pipeline rejected a message, which the broker is to deliver again: %s", err.Error())
	if o.session != nil && len(spans(rejected)) > 0 {
		o.session.retire(err)
	}
	if deliveries := deliveries(rejected); len(deliveries) > 0 {
		for _, waiting := range o.session.broker.qos2.reject(deliveries) {
			waiting.retire(err)
		}
	}
}

// A message is the context of what the engine gets of it, so that it is known
// again when the engine tells what became of it.
var _ context.Context = (*message)(nil)

type messageKey struct{}

// Deadline implements context.Context: there is none.
func (*message) Deadline() (at time.Time, ok bool) { return at, false }

// Done implements context.Context: it never ends.
func (*message) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (*message) Err() error { return nil }

// Value implements context.Context: by messageKey it finds itself.
func (m *message) Value(key any) any {
	if key == (messageKey{}) {
		return m
	}
	return nil
}
