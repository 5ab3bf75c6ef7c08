package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// choresField is a field in a file in addition to those of a connector's definition. It
// contains everything that is not part of the definition: earlier programs ignore
// unknown fields there, and nowhere else.
const choresField = "before_start"

// choresJSON is the form of Chores in a file.
type choresJSON struct {
	HandOver []handOverJSON `json:"hand_over,omitempty"`
	Revision int            `json:"revision,omitempty"`
	Actor    string         `json:"actor,omitempty"`
	// Labels would make a definition unreadable for earlier programs.
	Labels map[string]string `json:"labels,omitempty"`

	// Fields of the first version of the store. They are read, but no longer written.
	ForgetSession bool     `json:"forget_session,omitempty"`
	Unsubscribe   []string `json:"unsubscribe,omitempty"`
}

type handOverJSON struct {
	Connector json.RawMessage `json:"connector"`
	Endpoints []string        `json:"endpoints"`
	Member    int             `json:"member,omitempty"` // whose session it was
}

// Encode writes a definition as the file of a directory has it, secrets included.
func Encode(d Definition) ([]byte, error) {
	data := d.Connector.JSON()
	if len(d.HandOver) == 0 && d.Revision == 0 && len(d.Connector.Labels) == 0 {
		return data, nil
	}
	all := choresJSON{Revision: d.Revision, Actor: d.Actor, Labels: d.Connector.Labels}
	for _, h := range d.HandOver {
		all.HandOver = append(all.HandOver, handOverJSON{h.From.JSON(), h.Endpoints, h.From.Member})
	}
	chores, err := json.MarshalIndent(all, "  ", "  ")
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(data, '}')
	return fmt.Appendf(bytes.TrimRight(data[:end:end], "\n"), ",\n  %q: %s\n}\n", choresField, chores), nil
}

// Decode reads what Encode has written.
func Decode(data []byte) (Definition, error) {
	var d Definition
	var labels map[string]string
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return d, fmt.Errorf("not one JSON object: %w", err)
	}
	if raw, ok := fields[choresField]; ok {
		var chores choresJSON
		if err := json.Unmarshal(raw, &chores); err != nil {
			return d, fmt.Errorf("%s: %w", choresField, err)
		}
		for i, h := range chores.HandOver {
			from, err := connector.Parse(h.Connector)
			if err != nil {
				return d, fmt.Errorf("%s.hand_over.%d.connector: %w", choresField, i, err)
			}
			d.HandOver = append(d.HandOver, HandOver{from.WithMember(h.Member), h.Endpoints})
		}
		d.Revision, d.Actor, labels = chores.Revision, chores.Actor, chores.Labels
		d.Old = Old{chores.ForgetSession, chores.Unsubscribe}
		delete(fields, choresField)
		var err error
		if data, err = json.Marshal(fields); err != nil {
			return d, err
		}
	}
	var err error
	d.Connector, err = connector.Parse(data)
	if labels != nil {
		d.Connector.Labels = labels
	}
	return d, err
}

// encodeSession and decodeSession are strict: a session that is not understood must not
// be removed.
func encodeSession(s Session) ([]byte, error) {
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

func decodeSession(data []byte) (Session, error) {
	var s Session
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, err
	}
	if s.Endpoint == "" || s.ClientID == "" {
		return s, errors.New("endpoint or client_id is missing")
	}
	return s, nil
}

// Guess finds what it can in a definition that cannot be read, so that the connector is
// listed by its name and no other takes its MQTT client id.
func Guess(data []byte) (name, clientID string) {
	var d struct {
		Name   string          `json:"connector_name"`
		Config json.RawMessage `json:"config"`
	}
	_ = json.Unmarshal(data, &d) // what was read before the error is good enough
	var text string
	if json.Unmarshal(d.Config, &text) == nil {
		d.Config = json.RawMessage(text)
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(d.Config, &fields) // as above
	if inner, ok := fields["Kafka"]; ok && len(fields) == 1 {
		_ = json.Unmarshal(inner, &fields) // as above
	}
	_ = json.Unmarshal(fields["client_id"], &clientID) // as above
	return d.Name, clientID
}
