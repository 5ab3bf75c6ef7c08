package kafka

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// The metadata of a message, with the names of the stock input.
const (
	metaTopic         = "kafka_topic"
	metaPartition     = "kafka_partition"
	metaOffset        = "kafka_offset"
	metaLag           = "kafka_lag"
	metaTimestampMS   = "kafka_timestamp_ms"
	metaTimestampUnix = "kafka_timestamp_unix"
	metaTombstone     = "kafka_tombstone_message"
)

// batch returns the records as the engine gets them, and the function that takes its
// answer.
func (i *input) batch(h *handed) (service.MessageBatch, service.AckFunc) {
	batch := make(service.MessageBatch, len(h.slots))
	for k := range h.slots {
		batch[k] = h.slots[k].message()
		if format := i.conf.format; format != "" {
			if err := envelope.DecodeMessage(batch[k], format); err != nil {
				batch[k].SetError(err)
			}
		}
	}
	return batch, func(_ context.Context, err error) error {
		failed := h.failed(err)
		i.measure(h, failed)
		if n := len(h.slots) - len(failed); n > 0 {
			i.metrics.acked.Incr(int64(n))
		}
		if len(failed) == 0 && i.tail.Watched() {
			i.tail.Offer(len(h.slots), func(k int) tail.Message { return h.slots[k].shown() })
		}
		i.parts.answer(h, failed)
		return nil
	}
}

func (s *slot) message() *service.Message {
	r := s.record
	msg := service.NewMessage(r.Value).WithContext(s)
	for _, h := range r.Headers {
		msg.MetaSetMut(h.Key, string(h.Value))
	}
	msg.MetaSetMut(envelope.MetaKafkaKey, string(r.Key))
	msg.MetaSetMut(metaTopic, r.Topic)
	msg.MetaSetMut(metaPartition, int(r.Partition))
	msg.MetaSetMut(metaOffset, int(r.Offset))
	msg.MetaSetMut(metaLag, s.lag)
	msg.MetaSetMut(metaTimestampMS, r.Timestamp.UnixMilli())
	msg.MetaSetMut(metaTimestampUnix, r.Timestamp.Unix())
	msg.MetaSetMut(metaTombstone, r.Value == nil)
	return msg
}

// shown is a delivered record as a tail shows it. What a processor made of it is not
// known here.
func (s *slot) shown() tail.Message {
	r := s.record
	return tail.Message{
		KafkaTopic: excerpt.Line(r.Topic), Partition: r.Partition, Offset: r.Offset, Key: excerpt.Of(r.Key), Value: excerpt.Of(r.Value),
		Received: s.received, Latency: max(0, time.Since(s.received)), Outcome: outcomeSent,
	}
}

// failed returns the slots that come again after the engine's answer. A message that
// the answer does not mention, because a processor has dropped or merged it, counts as
// failed: repeating a message is better than losing it.
func (h *handed) failed(err error) []slot {
	if err == nil {
		return nil
	}
	var partial *service.BatchError
	if !errors.As(err, &partial) || partial.IndexedErrors() == 0 {
		return slices.Clone(h.slots)
	}
	written, failed := make([]bool, len(h.slots)), make([]bool, len(h.slots))
	//nolint:staticcheck // it is deprecated for its indexes, which are not used
	partial.WalkMessages(func(_ int, msg *service.Message, err error) bool {
		if s, ok := msg.Context().Value(slotKey{}).(*slot); ok && s.owed == h {
			if err == nil {
				written[s.place] = true
			} else {
				failed[s.place] = true
			}
		}
		return true
	})
	var all []slot
	for k := range h.slots {
		if failed[k] || !written[k] {
			all = append(all, h.slots[k])
		}
	}
	return all
}

// measure records how long the records of a delivered batch took. Those that were
// fetched together have the same time.
func (i *input) measure(h *handed, failed []slot) {
	if i.latency == nil || len(failed) > 0 {
		return
	}
	now := time.Now()
	first := 0
	for k := range h.slots {
		if k+1 == len(h.slots) || h.slots[k+1].received != h.slots[k].received {
			i.latency.Observe(now.Sub(h.slots[k].received), k+1-first)
			first = k + 1
		}
	}
}

// A slot is the context of the message that the engine gets, so that the input
// recognises it in the engine's answer.
var _ context.Context = (*slot)(nil)

type slotKey struct{}

// Deadline implements context.Context: there is none.
func (*slot) Deadline() (at time.Time, ok bool) { return at, false }

// Done implements context.Context: it never ends.
func (*slot) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (*slot) Err() error { return nil }

// Value implements context.Context: the value of slotKey is the slot itself.
func (s *slot) Value(key any) any {
	if key == (slotKey{}) {
		return s
	}
	return nil
}
