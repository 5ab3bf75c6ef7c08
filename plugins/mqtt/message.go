package mqtt

import (
	"context"

	"github.com/robustmq/robustmq-connect/plugins/envelope"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// metaDuplicate is the DUP flag, a bool. The keys that the envelope reads are defined
// in the package envelope.
const metaDuplicate = "mqtt_duplicate"

// metaPayloadSize is the size of a payload that exceeds max_payload_bytes, an int.
const metaPayloadSize = "mqtt_payload_size"

// batchOf builds the engine's batch from messages. If traced, each belongs to the trace
// of its publisher.
func batchOf(messages []message, traced bool) service.MessageBatch {
	batch := make(service.MessageBatch, len(messages))
	var at int64
	var boxed any = at // most messages of a batch share their time of receipt
	for i := range messages {
		m := &messages[i]
		if ms := m.received.UnixMilli(); ms != at {
			at, boxed = ms, ms
		}
		m.place = i
		var ctx context.Context = m
		if traced {
			ctx = m.properties.withTrace(m)
		}
		msg := service.NewMessage(m.payload).WithContext(ctx)
		msg.MetaSetMut(metaDuplicate, m.dup)
		msg.MetaSetMut(envelope.MetaQoS, int(m.qos))
		msg.MetaSetMut(envelope.MetaRetained, m.retain)
		msg.MetaSetMut(envelope.MetaTopic, m.topic.boxed)
		msg.MetaSetMut(envelope.MetaMessageID, int(m.id))
		msg.MetaSetMut(envelope.MetaTimestampMS, boxed)
		if m.properties != nil {
			m.properties.addTo(msg)
		}
		if m.notKept != nil {
			msg.MetaSetMut(metaPayloadSize, m.notKept.size)
			msg.SetError(m.notKept)
		}
		batch[i] = msg
	}
	return batch
}

func (p *properties) addTo(msg *service.Message) {
	if p.contentType != "" {
		msg.MetaSetMut(envelope.MetaContentType, p.contentType)
	}
	if p.responseTopic != "" {
		msg.MetaSetMut(envelope.MetaResponseTopic, p.responseTopic)
	}
	if p.hasCorrelation {
		msg.MetaSetMut(envelope.MetaCorrelationData, p.correlation)
	}
	if p.hasPayloadFormat {
		msg.MetaSetMut(envelope.MetaPayloadFormatIndicator, int(p.payloadFormat))
	}
	if p.hasExpiry {
		msg.MetaSetMut(envelope.MetaMessageExpiryInterval, int(p.expiry))
	}
	if len(p.user) == 0 {
		return
	}
	user := make([]any, len(p.user))
	for i, u := range p.user {
		user[i] = map[string]any{"key": u.key, "value": u.value}
	}
	msg.MetaSetMut(envelope.MetaUserProperties, user)
}
