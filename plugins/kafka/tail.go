package kafka

import (
	"slices"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// Outcomes of a message that somebody looks at.
const (
	outcomeSent         = "sent"
	outcomeDiscarded    = "discarded"
	outcomeDeadLettered = "dead_lettered"
	outcomeRejected     = "rejected"
)

// message is what is shown of a message of a batch that has ended. It is called for the
// few that are shown, and only while somebody looks.
func (o *output) message(d *delivery, i int) tail.Message {
	msg, r := d.batch[i], &d.records[i]
	payload, _ := msg.AsBytes() // without it there is none to show
	m := tail.Message{
		Topic: excerpt.Line(metaOf[string](msg, envelope.MetaTopic)), QoS: metaOf[int](msg, envelope.MetaQoS), Retain: metaOf[bool](msg, envelope.MetaRetained),
		Payload: excerpt.Of(payload), KafkaTopic: excerpt.Line(r.Topic), Key: excerpt.Of(r.Key), Value: excerpt.Of(r.Value),
		Partition: -1, Offset: -1, Outcome: outcomeSent,
	}
	if at := metaOf[int64](msg, envelope.MetaTimestampMS); at > 0 {
		m.Received = time.UnixMilli(at)
		m.Latency = max(0, time.Since(m.Received))
	}
	gone := slices.IndexFunc(d.handled, func(h handled) bool { return h.index == i })
	switch {
	case gone >= 0:
		m.Outcome, m.Reason = outcomeDiscarded, excerpt.Line(d.handled[gone].why.Error())
		if o.handler.dead != nil {
			m.Outcome = outcomeDeadLettered
		}
	case d.errs != nil && d.errs[i] != nil:
		m.Outcome, m.Reason = outcomeRejected, excerpt.Line(d.errs[i].Error())
	case o.conf.acks != "none":
		m.Partition, m.Offset = r.Partition, r.Offset
	}
	return m
}

// metaOf is a metadata value, the zero value where there is none of the type.
func metaOf[T any](msg *service.Message, name string) (value T) {
	if v, ok := msg.MetaGetImmut(name); ok {
		value, _ = v.(T)
	}
	return value
}
