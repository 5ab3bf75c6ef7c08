package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
)

// PreviewRequest is the body of preview: a definition and a message.
type PreviewRequest struct {
	Definition
	Message SampleMessage `json:"message"`
	// Partitions is how many the Kafka topic has, to foresee the record's.
	Partitions int `json:"partitions,omitempty"`
}

// SampleMessage is a message as a client publishes it.
type SampleMessage struct {
	Topic         string `json:"topic"`
	Payload       string `json:"payload,omitempty"`        // as text
	PayloadBase64 string `json:"payload_base64,omitempty"` // or in base64
	QoS           *int   `json:"qos,omitempty"`            // 0, 1 or 2; 1 unless given
	Retain        bool   `json:"retain,omitempty"`
	// ClientID and Username are the publisher's. MQTT does not tell them to a subscriber:
	// the publisher sends them as user properties of these names.
	ClientID       string         `json:"client_id,omitempty"`
	Username       string         `json:"username,omitempty"`
	UserProperties []UserProperty `json:"user_properties,omitempty"`
}

// UserProperty is a user property of MQTT 5.
type UserProperty struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Preview is the data of a preview: the record, or why none can be made.
type Preview struct {
	Topic     string         `json:"topic"`     // of Kafka
	Key       *Excerpt       `json:"key"`       // null for none; it is complete, as the value is
	Partition *int32         `json:"partition"` // null where it is not known
	Headers   []RecordHeader `json:"headers"`   // never null
	Value     *Excerpt       `json:"value"`     // null with an error
	Error     *string        `json:"error"`     // null where a record is made
	Field     string         `json:"field"`     // that is at fault, "" without an error
}

// RecordHeader is a header of a record of Kafka.
type RecordHeader struct {
	Key   string   `json:"key"`
	Value *Excerpt `json:"value"`
}

const (
	messageField    = "message"
	partitionsField = "partitions"
	// maxPartitions is far more than a topic has.
	maxPartitions = 1_000_000
)

// preview answers code 0 when it could try, also where no record can be made.
func (s *Server) preview(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
	given, err := fields(body)
	if err != nil {
		return reply{}, err
	}
	if err := lacking(body, given, messageField); err != nil {
		return reply{}, err
	}
	sample, err := readSample(given[messageField])
	if err != nil {
		return reply{}, err
	}
	if raw, ok := given[partitionsField]; ok {
		if json.Unmarshal(raw, &sample.Partitions) != nil || sample.Partitions < 1 || sample.Partitions > maxPartitions {
			return reply{}, invalid("partitions must be a whole number from 1 to 1000000: how many the Kafka topic has")
		}
	}
	c, err := readDefinition(without(without(body, messageField), partitionsField), nil)
	if err != nil {
		return reply{}, err
	}
	p, notes, err := s.manager.Preview(ctx, c, sample)
	if err != nil {
		return reply{}, failed(c.Name, err)
	}
	answer := Preview{Topic: p.Topic, Key: whole(p.Key), Partition: p.Partition, Value: whole(p.Value), Headers: []RecordHeader{}}
	for _, h := range p.Headers {
		answer.Headers = append(answer.Headers, RecordHeader{h.Key, whole(h.Value)})
	}
	if p.Refused != nil {
		text := withoutUserInfo(withoutSecrets(p.Refused.Why, body))
		answer.Error, answer.Field = &text, p.Refused.Field
	}
	return reply{data: answer, notes: notes}, nil
}

// whole shows all of some bytes, null where there are none.
func whole(data []byte) *Excerpt { return excerptOf(excerpt.Excerpt{Data: data, Size: len(data)}) }

// readSample reads a message strictly: what is misspelt would be previewed without it.
func readSample(raw json.RawMessage) (connector.SampleMessage, error) {
	var m SampleMessage
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) && kind.Field != "" {
			return connector.SampleMessage{}, invalid("message." + kind.Field + " must not be a " + kind.Value)
		}
		return connector.SampleMessage{}, invalid("message: " + err.Error() +
			": it has topic, payload or payload_base64, qos, retain, client_id, username and user_properties")
	}
	sample := connector.SampleMessage{Topic: m.Topic, Payload: []byte(m.Payload), QoS: 1, Retain: m.Retain}
	if m.QoS != nil {
		if sample.QoS = *m.QoS; sample.QoS < 0 || sample.QoS > 2 {
			return sample, invalid("message.qos must be 0, 1 or 2")
		}
	}
	if m.PayloadBase64 != "" {
		if m.Payload != "" {
			return sample, invalid("message.payload_base64 conflicts with message.payload: remove one")
		}
		var err error
		if sample.Payload, err = base64.StdEncoding.DecodeString(m.PayloadBase64); err != nil {
			return sample, invalid("message.payload_base64: it is not base64: " + err.Error())
		}
	}
	for _, named := range []UserProperty{{"client_id", m.ClientID}, {"username", m.Username}} {
		if named.Value != "" {
			sample.User = append(sample.User, [2]string{named.Key, named.Value})
		}
	}
	for _, p := range m.UserProperties {
		sample.User = append(sample.User, [2]string{p.Key, p.Value})
	}
	return sample, nil
}
