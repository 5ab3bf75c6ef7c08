package mqtt

import (
	"context"
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// owed is what the messages of a batch still need from us.
type owed struct {
	in      *input
	session *session // by which they came; nil for those of a dead connection
	tickets []span
	// deliveries are those of QoS 2. They may come again by a later connection
	// while the pipeline has them.
	deliveries []*delivery

	// Where the broker repeats what is rejected, each message is told apart.
	index    *service.Indexer
	messages []message
}

// batch makes a batch of messages and the function that acknowledges it.
func (i *input) batch(s *session, messages []message) (service.MessageBatch, service.AckFunc, error) {
	batch := batchOf(messages)
	o := &owed{in: i, session: s, deliveries: deliveries(messages)}
	if s != nil {
		o.tickets = spans(messages)
	}
	if !i.conf.replay && len(o.tickets) > 0 {
		o.index = batch.Index()
		o.messages = append([]message(nil), messages...)
	}
	return batch, o.answer, nil
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
	if err == nil {
		o.ack(o.tickets, o.deliveries)
		return nil
	}
	rejected := o.deliveries
	var partial *service.BatchError
	if o.index != nil && errors.As(err, &partial) {
		rejected = o.ackOthers(partial)
	}
	o.reject(rejected, err)
	return nil
}

func (o *owed) ack(tickets []span, deliveries []*delivery) {
	if len(tickets) > 0 {
		o.session.ack(tickets)
	}
	if len(deliveries) == 0 {
		return
	}
	if current := o.in.current(); current != nil {
		current.ack(o.in.connector.qos2.ack(deliveries, current.inflight))
	} else {
		o.in.connector.qos2.ack(deliveries, nil)
	}
}

// ackOthers acknowledges the messages that are not among the rejected ones,
// whose deliveries it returns.
func (o *owed) ackOthers(partial *service.BatchError) (rejected []*delivery) {
	failed := make([]bool, len(o.messages))
	some := false
	partial.WalkMessagesIndexedBy(o.index, func(i int, _ *service.Message, err error) bool {
		if err != nil && i >= 0 && i < len(failed) {
			failed[i], some = true, true
		}
		return true
	})
	if !some {
		return o.deliveries
	}
	var good, bad []message
	for i, m := range o.messages {
		if failed[i] {
			bad = append(bad, m)
		} else {
			good = append(good, m)
		}
	}
	o.ack(spans(good), deliveries(good))
	return deliveries(bad)
}

// reject ends the connection by which messages came that the pipeline does not
// take, so that the broker delivers them again on the next.
func (o *owed) reject(rejected []*delivery, err error) {
	err = fmt.Errorf("the pipeline rejected a message, which the broker is to deliver again: %w", err)
	if len(o.tickets) > 0 {
		o.session.retire(err)
	}
	if current := o.in.current(); current != nil && o.in.connector.qos2.reject(rejected, current.inflight) {
		current.retire(err)
	}
}
