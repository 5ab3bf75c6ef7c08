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

// pendingBatch is a batch that the pipeline has and that it has not answered for yet.
type pendingBatch struct {
	in       *input
	session  *session // the connection that delivered the messages; nil for those with nothing to acknowledge
	messages []message
	attempts int          // how often the messages were handed over
	size     atomic.Int64 // of the messages, until the batch is answered
}

// batch builds a batch of messages and the function that acknowledges it. It keeps the
// slice.
func (i *input) batch(s *session, messages []message, attempts int) (service.MessageBatch, service.AckFunc, error) {
	o := &pendingBatch{in: i, session: s, messages: messages, attempts: attempts + 1}
	size := 0
	for k := range messages {
		messages[k].owed = o
		size += messages[k].size
	}
	o.size.Store(int64(size))
	i.handed.Add(int64(size))
	return batchOf(messages, i.traced), o.answer, nil
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
func (o *pendingBatch) answer(_ context.Context, err error) error {
	defer func() {
		o.in.handed.Add(-o.size.Swap(0)) // once
		o.in.conf.share.Released()
	}()
	o.in.monitor.countRejections(err)
	if err == nil {
		o.ack(o.messages)
		o.release()
		return nil
	}
	good, bad := o.split(err)
	o.ack(good)
	if o.in.conf.replay {
		o.in.replays.add(replay{o.session, detached(bad), o.attempts})
	} else {
		o.reject(bad, err)
	}
	o.release()
	return nil
}

// release drops what the messages of an answered batch refer to. A processor may keep
// one of them, which keeps the array of all, for as long as it likes.
func (o *pendingBatch) release() {
	for i := range o.messages {
		m := &o.messages[i]
		m.payload, m.properties, m.delivery = nil, nil, nil
	}
}

// detached copies messages so that they share no memory with those that arrived with
// them.
func detached(messages []message) []message {
	for i := range messages {
		m := &messages[i]
		m.owed = nil
		if len(m.payload) <= ownAllocSize { // it shares an arena
			m.payload = bytes.Clone(m.payload)
		}
	}
	return messages
}

func (o *pendingBatch) ack(messages []message) {
	o.measure(messages)
	if o.session != nil {
		if tickets := spans(messages); len(tickets) > 0 {
			o.session.ack(tickets)
		}
	}
	// Messages of QoS 2 may have arrived again on another connection.
	if deliveries := deliveries(messages); len(deliveries) > 0 {
		for _, a := range o.session.broker.qos2.ack(deliveries) {
			a.on.ack(a.tickets)
		}
	}
}

// measure records how long messages took. They are in order of receipt, and those that
// were read together have the same time, so it visits only one of each.
func (o *pendingBatch) measure(messages []message) {
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

// split separates the messages that are finished according to the error from the
// others. A message that the error does not mention, because a processor dropped or
// merged it, counts as failed: repeating a message is better than losing it.
func (o *pendingBatch) split(err error) (good, bad []message) {
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

// reject ends the connection that delivered the rejected messages, so that the broker
// delivers them again on the next one.
func (o *pendingBatch) reject(rejected []message, err error) {
	// As text, because the error would keep the whole batch in memory.
	err = fmt.Errorf("the pipeline rejected a message, so that the broker delivers it again: %s", err.Error())
	if o.session != nil && len(spans(rejected)) > 0 {
		o.session.retire(err)
	}
	if deliveries := deliveries(rejected); len(deliveries) > 0 {
		for _, waiting := range o.session.broker.qos2.reject(deliveries) {
			waiting.retire(err)
		}
	}
}

// A message is the context of the message that the engine gets, so that the input
// recognizes it in the engine's answer.
var _ context.Context = (*message)(nil)

type messageKey struct{}

// Deadline implements context.Context: there is none.
func (*message) Deadline() (at time.Time, ok bool) { return at, false }

// Done implements context.Context: it never ends.
func (*message) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (*message) Err() error { return nil }

// Value implements context.Context: the value of messageKey is the message itself.
func (m *message) Value(key any) any {
	if key == (messageKey{}) {
		return m
	}
	return nil
}
