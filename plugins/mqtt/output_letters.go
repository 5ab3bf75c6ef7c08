package mqtt

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// letters are the dead letters of an output: where they go, and what they say.
type letters struct {
	conf   *outputConfig
	mgr    *service.Resources
	source string // the connector's name

	mu     sync.Mutex
	kafka  service.BatchOutput // nil until needed, and for letters to the MQTT broker
	closed bool
}

func newLetters(c *outputConfig, mgr *service.Resources) *letters {
	return &letters{conf: c, mgr: mgr, source: cmp.Or(mgr.Label(), "mqtt")}
}

func (l *letters) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.kafka != nil {
		_ = l.kafka.Close(context.Background()) // its letters are written, or are kept by the input
	}
}

// about returns what the headers of a dead letter tell.
func (l *letters) about(m *outgoing, msg *service.Message, refusal, reason error) kafka.LetterAbout {
	a := kafka.LetterAbout{
		Topic: legalText(m.topic), Partition: -1, Source: legalText(l.source), Component: "mqtt", Reason: legalText(reason.Error()),
		Stage: kafka.StageConvert, Class: kafka.ClassData,
	}
	switch {
	case errors.As(refusal, new(*reasonError)), errors.As(refusal, new(*expelledError)):
		a.Stage, a.Class = kafka.StagePut, kafka.ClassConnect
	case msg.GetError() != nil:
		a.Stage = kafka.StageProcessor
	}
	return a
}

// letter writes the dead letter of a message and returns when it is acknowledged.
func (o *output) letter(ctx context.Context, p *publishing, d *transfer, i int, refusal, reason error) error {
	l, m, msg := o.refused.letters, &d.messages[i], d.batch[i]
	headers := l.about(m, msg, refusal, reason).Headers()
	if l.conf.letterbox != nil {
		return l.toKafka(ctx, msg, headers)
	}
	payload, err := msg.AsBytes()
	if err != nil {
		return err
	}
	letter := outgoing{topic: l.conf.strategy.TopicName, payload: payload, qos: max(m.qos, 1), properties: m.properties}
	for _, header := range headers {
		// The text is legal and short.
		letter.properties, _ = appendUserProperty(letter.properties[:len(letter.properties):len(letter.properties)], header[0], header[1])
	}
	return o.publishLetter(ctx, p, letter)
}

// publishLetter publishes a message of its own, ahead of the next batch.
func (o *output) publishLetter(ctx context.Context, p *publishing, letter outgoing) error {
	d := newTransfer(nil, []outgoing{letter})
	o.out.submit(d)
	p.pump()
	if err := o.await(ctx, p, d); err != nil {
		o.out.abandon(d)
		return err
	}
	return o.out.refusals(d)[0]
}

// toKafka writes the dead letter of a message to Kafka.
func (l *letters) toKafka(ctx context.Context, msg *service.Message, headers [][2]string) error {
	box, fresh, err := l.box()
	if err != nil {
		return err
	}
	msg = msg.Copy()
	msg.SetError(nil) // the letter says it
	for _, header := range headers {
		msg.MetaSetMut(header[0], header[1])
	}
	batch := service.MessageBatch{msg}
	if !fresh {
		if err := box.WriteBatch(ctx, batch); !errors.Is(err, service.ErrNotConnected) {
			return err
		}
	}
	if err := box.Connect(ctx); err != nil {
		return err
	}
	if err := box.WriteBatch(ctx, batch); !errors.Is(err, service.ErrNotConnected) {
		return err
	}
	return errors.New("no acknowledgement came from Kafka")
}

// box returns the output to Kafka, and whether it is a new one.
func (l *letters) box() (box service.BatchOutput, fresh bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false, service.ErrEndOfInput
	}
	if l.kafka == nil {
		fresh = true
		l.kafka = l.conf.letterbox.Open(l.mgr)
	}
	return l.kafka, fresh, nil
}

// longestText is how much of a text a dead letter has.
const longestText = 4 << 10

// legalText makes a text legal as an MQTT 5 property.
func legalText(text string) string {
	if len(text) > longestText {
		text = text[:longestText]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
}
