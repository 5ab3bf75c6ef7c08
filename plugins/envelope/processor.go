package envelope

import (
	"context"
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

func (p *processor) decode(batch service.MessageBatch) {
	for _, msg := range batch {
		if err := p.decodeMessage(msg); err != nil {
			msg.SetError(err)
		}
	}
}

func (p *processor) decodeMessage(msg *service.Message) error {
	record, err := msg.AsBytes()
	if err != nil {
		return fmt.Errorf("reading the record: %w", err)
	}
	e, err := Decode(record, p.verifyCRC)
	if err != nil {
		return err
	}
	const limit = math.MaxInt64 / 1000
	if e.Timestamp > limit || e.Timestamp < -limit {
		return fmt.Errorf("decoding timestamp: %d Unix seconds do not fit into milliseconds; want at most %d", e.Timestamp, int64(limit))
	}
	msg.SetBytes(e.Payload)
	msg.MetaSetMut(MetaTopic, e.Topic)
	msg.MetaSetMut(MetaQoS, int(e.QoS))
	msg.MetaSetMut(MetaRetained, e.Retain)
	msg.MetaSetMut(MetaMessageID, int(e.MessageID))
	// A record without a timestamp, or with 0, gets the time of its next encoding.
	if e.Timestamp != 0 {
		msg.MetaSetMut(MetaTimestampMS, e.Timestamp*1000)
	} else {
		msg.MetaDelete(MetaTimestampMS)
	}
	if e.Key != "" {
		msg.MetaSetMut(MetaKafkaKey, e.Key)
	}
	setPublisher(msg, MetaClientID, e.ClientID, e.Header, fieldClientID)
	setPublisher(msg, MetaUsername, e.Username, e.Header, fieldUsername)
	setProperties(msg, e.Header)
	return nil
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
		records[i] = record{value, key}
	}
	for i, r := range records {
		if r.value == nil {
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
}
