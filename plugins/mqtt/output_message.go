package mqtt

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
)

// messageBuilder makes a PUBLISH of a message, according to the configuration.
type messageBuilder struct {
	topic      expression
	qos        byte
	qosBy      expression // takes precedence over qos, if it is set
	retained   bool
	retainedBy expression // takes precedence over retained, if it is set
	properties bool       // from the metadata
	metadata   *service.MetadataFilter
}

// expression is an interpolated field.
type expression struct {
	engine     *service.InterpolatedString
	constant   string
	isConstant bool
}

func (e *expression) isSet() bool { return !e.isConstant || e.constant != "" }

func (e *expression) text(msg *service.Message) (string, error) {
	if e.isConstant {
		return e.constant, nil
	}
	return e.engine.TryString(msg)
}

// messageError means that a message cannot be published as it is.
type messageError struct{ err error }

func (e *messageError) Error() string { return e.err.Error() }
func (e *messageError) Unwrap() error { return e.err }

// build makes the messages of a batch. One that cannot be published has an error.
func (b *messageBuilder) build(batch service.MessageBatch) []outgoing {
	all := make([]outgoing, len(batch))
	for i, msg := range batch {
		if err := b.buildMessage(&all[i], msg); err != nil {
			all[i].err = &messageError{err}
		}
	}
	return all
}

func (b *messageBuilder) buildMessage(m *outgoing, msg *service.Message) (err error) {
	if m.payload, err = msg.AsBytes(); err != nil {
		return fmt.Errorf("reading the payload: %w", err)
	}
	if m.topic, err = b.topic.text(msg); err != nil {
		return fmt.Errorf("evaluating field %s: %w", fieldTopic, err)
	}
	if !b.topic.isConstant {
		if err := checkPublishTopic(m.topic); err != nil {
			return err
		}
	}
	m.qos, m.retain = b.qos, b.retained
	if b.qosBy.isSet() {
		text, err := b.qosBy.text(msg)
		if err == nil {
			m.qos, err = parseQoS(text)
		}
		if err != nil {
			return fmt.Errorf("evaluating field %s: %w", fieldQoSInterpolated, err)
		}
	}
	if b.retainedBy.isSet() {
		text, err := b.retainedBy.text(msg)
		if err == nil {
			m.retain, err = strconv.ParseBool(text)
		}
		if err != nil {
			return fmt.Errorf("evaluating field %s: %w", fieldRetainedInterpolated, err)
		}
	}
	if b.properties {
		if m.properties, err = appendMetadataProperties(nil, msg); err != nil {
			return err
		}
	}
	if b.metadata != nil {
		return b.metadata.Walk(msg, func(key, value string) (err error) {
			m.properties, err = appendUserProperty(m.properties, key, value)
			return err
		})
	}
	return nil
}

// parseQoS reads a QoS.
func parseQoS(text string) (byte, error) {
	if len(text) == 1 && text[0] >= '0' && text[0] <= '2' {
		return text[0] - '0', nil
	}
	return 0, fmt.Errorf("%q is no QoS; must be 0, 1 or 2", text)
}

// appendMetadataProperties appends the properties in the metadata of a message, encoded
// for a PUBLISH (MQTT 5.0 section 3.3.2.3).
func appendMetadataProperties(buf []byte, msg *service.Message) ([]byte, error) {
	p, err := envelope.PublishedWith(msg)
	if err != nil {
		return nil, err
	}
	if indicator, ok := p.FormatIndicator(); ok {
		buf = append(buf, propPayloadFormat, indicator)
	}
	if seconds, ok := p.Expiry(); ok {
		buf = binary.BigEndian.AppendUint32(append(buf, propMessageExpiry), seconds)
	}
	if text, _ := p.ContentType(); text != "" {
		if buf, err = appendTextProperty(buf, propContentType, envelope.MetaContentType, text); err != nil {
			return nil, err
		}
	}
	if topic, _ := p.ResponseTopic(); topic != "" {
		if err := checkPublishTopic(topic); err != nil {
			return nil, fmt.Errorf("reading metadata %s: %w", envelope.MetaResponseTopic, err)
		}
		buf = appendProperty(buf, propResponseTopic, topic)
	}
	if raw, ok := p.CorrelationData(); ok {
		if len(raw) > math.MaxUint16 {
			return nil, tooLongProperty(envelope.MetaCorrelationData, len(raw))
		}
		buf = appendProperty(buf, propCorrelationData, raw)
	}
	for _, user := range p.User() {
		if buf, err = appendUserProperty(buf, user.Key, user.Value); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

func tooLongProperty(name string, n int) error {
	return fmt.Errorf("reading metadata %s: %d bytes are more than the %d that MQTT allows", name, n, math.MaxUint16)
}

func appendTextProperty(buf []byte, id byte, name, text string) ([]byte, error) {
	if len(text) > math.MaxUint16 {
		return nil, tooLongProperty(name, len(text))
	}
	if err := checkText("the text", text); err != nil {
		return nil, fmt.Errorf("reading metadata %s: %w", name, err)
	}
	return appendProperty(buf, id, text), nil
}

func appendUserProperty(buf []byte, key, value string) ([]byte, error) {
	name := "of the user property " + quoted([]byte(key))
	buf, err := appendTextProperty(buf, propUserProperty, name, key)
	if err != nil {
		return nil, err
	}
	if len(value) > math.MaxUint16 {
		return nil, tooLongProperty(name, len(value))
	}
	if err := checkText("the text", value); err != nil {
		return nil, fmt.Errorf("reading metadata %s: %w", name, err)
	}
	return append(binary.BigEndian.AppendUint16(buf, uint16(len(value))), value...), nil
}

// appendProperty appends a property that is a text or binary data.
func appendProperty(buf []byte, id byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(append(buf, id), uint16(len(text))), text...)
}
