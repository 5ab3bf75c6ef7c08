package envelope

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// Register adds the batch processor robustmq_envelope to the environment.
func Register(env *service.Environment) error {
	return env.RegisterBatchProcessor("robustmq_envelope", Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchProcessor, error) {
			c, err := parseConfig(conf)
			if err != nil {
				return nil, err
			}
			return crash.Processor(&processor{config: c, now: time.Now}, crash.Of(mgr), "the processor robustmq_envelope"), nil
		})
}

// processor has no state that a batch changes, so batches may be processed
// concurrently.
type processor struct {
	config
	now func() time.Time
}

// ProcessBatch encodes or decodes every message in place. A message that fails is
// flagged and keeps its content; the batch is passed on complete.
func (p *processor) ProcessBatch(_ context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	if p.operator == operatorEncode {
		p.encode(batch)
	} else {
		p.decode(batch)
	}
	return []service.MessageBatch{batch}, nil
}

// Close implements service.BatchProcessor.
func (*processor) Close(context.Context) error { return nil }

// DecodeMessage opens the record in a message, as the processor does with operator:
// decode and a format, one of Formats. The error names the field and the reason.
func DecodeMessage(msg *service.Message, format string) error {
	p := processor{config: config{format: format, verifyCRC: true}}
	return p.decodeMessage(0, msg, executor{})
}

func (p *processor) decode(batch service.MessageBatch) {
	topic := field(batch, fieldTopic, p.encoder.topic)
	for i, msg := range batch {
		if err := p.decodeMessage(i, msg, topic); err != nil {
			msg.SetError(err)
		}
	}
}

func (p *processor) decodeMessage(i int, msg *service.Message, topic executor) error {
	value, err := msg.AsBytes()
	if err != nil {
		return fmt.Errorf("reading the record: %w", err)
	}
	if p.format == FormatRaw {
		return setTopic(i, msg, topic, MetaTopic, metaKafkaTopic) // the first from a Kafka header
	}
	d, err := DecodeFormat(value, p.format, p.verifyCRC)
	if err != nil {
		return err
	}
	seconds := d.Envelope.Timestamp
	if d.Record != nil {
		seconds = d.Record.CreateTime
	}
	const limit = math.MaxInt64 / 1000
	if seconds > limit || seconds < -limit {
		return fmt.Errorf("decoding timestamp: %d Unix seconds do not fit into milliseconds; want at most %d", seconds, int64(limit))
	}
	if d.HasTopic {
		msg.MetaSetMut(MetaTopic, d.Envelope.Topic)
	} else if err := setTopic(i, msg, topic, metaKafkaTopic); err != nil {
		return err
	}
	// A record without a timestamp, or with 0, gets the time of its next encoding.
	if seconds != 0 {
		msg.MetaSetMut(MetaTimestampMS, seconds*1000)
	} else {
		msg.MetaDelete(MetaTimestampMS)
	}
	if d.Record != nil {
		setRecord(msg, d.Record)
	} else {
		setEnvelope(msg, &d.Envelope)
	}
	return nil
}

// errNoTopic is why a record that does not tell its MQTT topic is not decoded.
var errNoTopic = errors.New("the record has no MQTT topic, and the message has no metadata kafka_topic; set the field topic")

// setTopic gives a message that came without its MQTT topic that of the field, else
// that of the first metadata that has one.
func setTopic(i int, msg *service.Message, topic executor, metadata ...string) error {
	if topic.x != nil {
		text, err := topic.textAt(i)
		if err == nil {
			msg.MetaSetMut(MetaTopic, text)
		}
		return err
	}
	for _, key := range metadata {
		if text, ok := metaText(msg, key); ok && text != "" {
			msg.MetaSetMut(MetaTopic, text)
			return nil
		}
	}
	return errNoTopic
}

func setEnvelope(msg *service.Message, e *Envelope) {
	msg.SetBytes(e.Payload)
	msg.MetaSetMut(MetaQoS, int(e.QoS))
	msg.MetaSetMut(MetaRetained, e.Retain)
	msg.MetaSetMut(MetaMessageID, int(e.MessageID))
	if e.Key != "" {
		msg.MetaSetMut(MetaKafkaKey, e.Key)
	}
	setPublisher(msg, MetaClientID, e.ClientID, e.Header, fieldClientID)
	setPublisher(msg, MetaUsername, e.Username, e.Header, fieldUsername)
	p := splitHeader(e.Header)
	p.set(msg)
}

// setRecord also removes what a storage record does not have: metadata that a Kafka
// header has left is not of this message.
func setRecord(msg *service.Message, r *Record) {
	msg.SetBytes(r.Payload)
	msg.MetaSetMut(MetaRetained, r.Retain)
	if r.Key != "" {
		msg.MetaSetMut(MetaKafkaKey, r.Key)
	}
	for _, key := range []string{MetaQoS, MetaMessageID, MetaUsername} {
		msg.MetaDelete(key)
	}
	setPublisher(msg, MetaClientID, r.ClientID, r.properties.user, fieldClientID)
	r.properties.set(msg)
}

// setPublisher sets the metadata unless the value is empty. If a user property would
// replace it on the next encoding, it sets the empty value too.
func setPublisher(msg *service.Message, key, value string, header []Header, property string) {
	if _, standIn := lookup(header, property); value == "" && !standIn {
		msg.MetaDelete(key)
		return
	}
	msg.MetaSetMut(key, value)
}

// encode works in two passes, so that an interpolation that reads other messages of the
// batch finds their original content.
func (p *processor) encode(batch service.MessageBatch) {
	b := p.encoder.Begin(batch)
	b.now = p.now
	records := make([]record, len(batch))
	var room Room
	for i, msg := range batch {
		key, err := b.key.textOr(i, msg, MetaKafkaKey, nil)
		var value []byte
		if err == nil {
			value, err = b.Encode(&room, i, msg, key)
		}
		if err != nil {
			msg.SetError(err)
			continue
		}
		records[i] = record{value, key, true}
	}
	for i, r := range records {
		if !r.made {
			continue
		}
		batch[i].SetBytes(r.value)
		if b.key.x != nil {
			batch[i].MetaSetMut(MetaKafkaKey, r.key)
		}
	}
}

// record is the Kafka record of a message.
type record struct {
	value []byte
	key   string
	made  bool
}
