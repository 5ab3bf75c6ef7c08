// Package records reads the Kafka records that tests receive, as a consumer in another
// language would: without the program's own codec.
package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// Envelope is a record in the RobustMQ JSON envelope.
type Envelope struct {
	Topic     string     `json:"topic"`
	QoS       int        `json:"qos"`
	Retain    bool       `json:"retain"`
	Payload   []byte     `json:"payload"` // base64 in the record
	ClientID  string     `json:"client_id"`
	Username  string     `json:"username"`
	Timestamp int64      `json:"timestamp"` // Unix seconds
	MessageID int        `json:"message_id"`
	Header    []Property `json:"header"` // never null
	Key       string     `json:"key"`
	Data      []byte     `json:"data"`
	Tags      []string   `json:"tags"`
	CRC       uint32     `json:"crc_num"`
}

// Property is an element of the header.
type Property struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

var names = []string{
	"topic", "qos", "retain", "payload", "client_id", "username", "timestamp",
	"message_id", "header", "key", "data", "tags", "crc_num",
}

// Parse reads a record that the mqtt input received and the template wrote. The error
// names what is unknown, missing, repeated, out of order, or inconsistent with another
// field.
func Parse(value []byte) (Envelope, error) {
	var e Envelope
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("%w: %.200s", err, value)
	}
	if d.More() {
		return e, fmt.Errorf("more than one value: %.200s", value)
	}
	return e, errors.Join(namesInOrder(value), e.consistent())
}

func namesInOrder(value []byte) error {
	var found []string
	d := json.NewDecoder(bytes.NewReader(value))
	_, _ = d.Token() // it was read as an object
	for d.More() {
		name, _ := d.Token()
		var skipped json.RawMessage
		_ = d.Decode(&skipped)
		found = append(found, name.(string))
	}
	if !slices.Equal(found, names) {
		return fmt.Errorf("the names are %q, want %q", found, names)
	}
	return nil
}

// consistent compares the fields that repeat others.
func (e Envelope) consistent() error {
	switch {
	case !bytes.Equal(e.Payload, e.Data):
		return fmt.Errorf("data %.200q is not the payload %.200q", e.Data, e.Payload)
	case e.CRC != crc32.ChecksumIEEE(e.Payload):
		return fmt.Errorf("crc_num %d is not that of the payload %.200q", e.CRC, e.Payload)
	case !slices.Equal(e.Tags, strings.Split(e.Topic, "/")):
		return fmt.Errorf("tags %q are not the levels of %q", e.Tags, e.Topic)
	case e.Header == nil:
		return errors.New("header is null")
	case e.QoS < 0 || e.QoS > 2:
		return fmt.Errorf("qos %d", e.QoS)
	case (e.QoS == 0) != (e.MessageID == 0) || e.MessageID < 0 || e.MessageID > 65535:
		return fmt.Errorf("message_id %d of QoS %d", e.MessageID, e.QoS)
	}
	return nil
}
