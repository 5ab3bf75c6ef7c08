package mqtt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	packets5 "github.com/eclipse/paho.golang/packets"
)

// outgoing is a message on its way to the broker. The outbox guards what changes.
type outgoing struct {
	topic      string
	payload    []byte
	properties []byte // encoded for MQTT 5, without a topic alias
	qos        byte
	retain     bool

	transfer *transfer // that it belongs to, nil if nobody waits for it
	state    stage
	id       uint16 // 0 while it has none
	counted  bool   // in the window of this connection
	again    bool   // it was sent under its identifier on an earlier connection
	doubt    bool   // the broker may have lost it after its PUBREC
	end      uint64 // at QoS 0: the place of its last byte in the stream of the connection
	err      error  // why it is refused
	ends     int    // the weight of the ends of connections with it alone in flight
	expelled bool   // it was the cause of them
}

// stage is how far a message has come.
type stage byte

const (
	stageWaiting  stage = iota // to be sent, or to be sent again
	stageSent                  // on this connection
	stageReceived              // the broker has it, by PUBREC, and gets PUBREL
	stageFinished
)

// maxRemaining is the largest remaining length of a packet, MQTT 5.0 section 2.1.4.
const maxRemaining = 1<<28 - 1

// varintSize is the number of bytes of a variable byte integer.
func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

func appendVarint(buf []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		buf = append(buf, byte(n)|0x80)
	}
	return append(buf, byte(n))
}

// layout is how a PUBLISH is written on one connection.
type layout struct {
	v5        bool
	alias     uint16 // 0 for none
	nameless  bool   // the alias stands for the topic
	remaining int    // the length after the fixed header
}

// layoutOf computes the length of a PUBLISH.
func layoutOf(m *outgoing, v5 bool, alias uint16, nameless bool) layout {
	l := layout{v5: v5, alias: alias, nameless: nameless}
	l.remaining = 2 + len(m.payload)
	if !nameless {
		l.remaining += len(m.topic)
	}
	if m.qos > 0 {
		l.remaining += 2
	}
	if v5 {
		n := l.propertyLength(m)
		l.remaining += varintSize(n) + n
	}
	return l
}

func (l *layout) propertyLength(m *outgoing) int {
	if l.alias > 0 {
		return len(m.properties) + 3
	}
	return len(m.properties)
}

// size returns the number of bytes of the packet.
func (l *layout) size() int { return 1 + varintSize(l.remaining) + l.remaining }

// appendPublish appends a PUBLISH, MQTT 5.0 section 3.3.
func (l *layout) appendPublish(buf []byte, m *outgoing) []byte {
	first := byte(typePublish<<4) | m.qos<<1
	if m.retain {
		first |= 1
	}
	if m.again && m.qos > 0 {
		first |= 8
	}
	buf = appendVarint(append(buf, first), l.remaining)
	if l.nameless {
		buf = append(buf, 0, 0)
	} else {
		buf = append(binary.BigEndian.AppendUint16(buf, uint16(len(m.topic))), m.topic...)
	}
	if m.qos > 0 {
		buf = binary.BigEndian.AppendUint16(buf, m.id)
	}
	if l.v5 {
		buf = appendVarint(buf, l.propertyLength(m))
		if l.alias > 0 {
			buf = append(buf, propTopicAlias, byte(l.alias>>8), byte(l.alias))
		}
		buf = append(buf, m.properties...)
	}
	return append(buf, m.payload...)
}

// checkPublishTopic applies MQTT 5.0, sections 1.5.4 and 4.7, to a topic to publish to.
func checkPublishTopic(topic string) error {
	switch {
	case topic == "":
		return errors.New("the topic is empty; give each message one")
	case len(topic) > math.MaxUint16:
		return fmt.Errorf("the topic %s is longer than the %d bytes that MQTT allows", quoted([]byte(topic)), math.MaxUint16)
	case strings.ContainsAny(topic, "+#"):
		return fmt.Errorf("the topic %s has a wildcard; a message is published to a topic without '+' and '#'", quoted([]byte(topic)))
	}
	return checkText("the topic", topic)
}

// checkText applies MQTT 5.0, section 1.5.4, to a text.
func checkText(what, text string) error {
	switch {
	case !utf8.ValidString(text):
		return fmt.Errorf("%s %s is not UTF-8", what, quoted([]byte(text)))
	case strings.IndexByte(text, 0) >= 0:
		return fmt.Errorf("%s %s has the character U+0000, which MQTT does not allow", what, quoted([]byte(text)))
	}
	return nil
}

// publishAck is a PUBACK, PUBREC or PUBCOMP.
type publishAck struct {
	id   uint16
	code byte   // 0 for success
	text string // the broker's reason, or ""
}

// err returns why the broker refuses the message, or nil.
func (a *publishAck) err() error {
	if a.code < 0x80 {
		return nil
	}
	return ReasonError(a.code, a.text)
}

// parsePublishAck reads the part of a PUBACK, PUBREC or PUBCOMP after the fixed header.
func parsePublishAck(body []byte, v5 bool) (a publishAck, err error) {
	if len(body) < 2 {
		return a, malformedAck(fmt.Sprintf("it has %d bytes", len(body)))
	}
	if a.id = binary.BigEndian.Uint16(body); a.id == 0 {
		return a, malformedAck("packet identifier 0")
	}
	if v5 && len(body) > 2 {
		a.code = body[2]
	}
	if v5 && len(body) > 3 {
		p := packets5.Puback{Properties: &packets5.Properties{}} // all three have one format
		if err := p.Unpack(bytes.NewBuffer(body)); err != nil {
			return a, malformedAck(err.Error())
		}
		a.text = p.Properties.ReasonString
	}
	return a, nil
}

func malformedAck(what string) *packetError {
	return &packetError{reasonMalformed, "malformed acknowledgement: " + what}
}
