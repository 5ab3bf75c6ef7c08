package mqtt

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Sample is a message as a broker delivers it, to see what a pipeline makes of it.
type Sample struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retain   bool
	Received time.Time
	// User are user properties in their order, a key and a value each.
	User [][2]string
	// Limit is max_payload_bytes; 0 is none.
	Limit int
}

// sampleID is the packet identifier of a sample, of which QoS 0 has none.
const sampleID = 1

// Message returns what the input makes of the sample. The error says why no broker
// delivers it.
func (s Sample) Message() (*service.Message, error) {
	if s.Topic == "" {
		return nil, errors.New("the topic is empty")
	}
	if len(s.Topic) > maxText {
		return nil, fmt.Errorf("the topic has %d bytes; MQTT allows at most %d", len(s.Topic), maxText)
	}
	name, err := newTopics(0).intern([]byte(s.Topic))
	if err != nil {
		return nil, err
	}
	m := message{topic: name, payload: s.Payload, received: s.Received, qos: s.QoS, retain: s.Retain}
	if s.QoS > 0 {
		m.id = sampleID
	}
	if len(s.User) > 0 {
		m.properties = &properties{}
		for _, u := range s.User {
			m.properties.user = append(m.properties.user, userProperty{key: u[0], value: u[1]})
		}
	}
	if c := (&config{maxPayloadBytes: s.Limit}); c.exceeds(len(s.Payload)) {
		m.payload, m.notKept = nil, &oversizedError{topic: s.Topic, size: len(s.Payload), limit: s.Limit}
	}
	return batchOf([]message{m}, false)[0], nil
}

// maxText is the longest text of MQTT, in bytes.
const maxText = 1<<16 - 1

// Matches reports whether a broker delivers the messages of a topic to who has subscribed
// to the filter, which may be shared.
func Matches(filter, topic string) bool {
	if rest, shared := strings.CutPrefix(filter, "$share/"); shared {
		_, filter, _ = strings.Cut(rest, "/")
	}
	// MQTT 5.0, section 4.7.2.
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	return levelsMatch(strings.Split(filter, "/"), strings.Split(topic, "/"))
}

func levelsMatch(filter, topic []string) bool {
	switch {
	case len(filter) == 0:
		return len(topic) == 0
	case filter[0] == "#": // also the level above it
		return true
	case len(topic) == 0 || filter[0] != "+" && filter[0] != topic[0]:
		return false
	}
	return levelsMatch(filter[1:], topic[1:])
}
