package mqtt

import (
	"encoding/binary"
	"fmt"
)

// The wire format is that of MQTT 3.1.1 (OASIS, 2014) and MQTT 5.0 (OASIS, 2019),
// sections 2 and 3.

// Packet types, MQTT 5.0 section 2.1.2.
const (
	typeConnack    = 2
	typePublish    = 3
	typePuback     = 4
	typePubrec     = 5
	typePubrel     = 6
	typePubcomp    = 7
	typeSuback     = 9
	typePingreq    = 12
	typePingresp   = 13
	typeDisconnect = 14
)

// Property identifiers, MQTT 5.0 section 2.2.2.2.
const (
	propPayloadFormat          = 1
	propMessageExpiry          = 2
	propContentType            = 3
	propResponseTopic          = 8
	propCorrelationData        = 9
	propSubscriptionIdentifier = 11
	propSessionExpiry          = 17
	propTopicAlias             = 35
	propUserProperty           = 38
)

type userProperty struct{ key, value string }

// properties are the PUBLISH properties that are passed on with the message.
type properties struct {
	payloadFormat    byte
	hasPayloadFormat bool
	hasExpiry        bool
	hasCorrelation   bool
	expiry           uint32
	contentType      string
	responseTopic    string
	correlation      string
	user             []userProperty
}

// rawPublish is a PUBLISH whose topic and payload lie in the buffer that it was decoded
// from.
type rawPublish struct {
	topic      []byte // empty if the alias stands for it
	payload    []byte
	properties *properties // nil if there are none to pass on
	alias      uint16      // 0 for none
	id         uint16      // 0 at QoS 0
	qos        byte
	dup        bool
	retain     bool
}

// packetError describes a protocol violation of the broker, with the reason code that
// an MQTT 5 broker is sent.
type packetError struct {
	code byte
	what string
}

func (e *packetError) Error() string { return e.what }

func malformed(what string) *packetError {
	return &packetError{reasonMalformed, "malformed PUBLISH: " + what}
}

// decodePublish decodes the part of a PUBLISH after the fixed header. The result refers
// to body.
func decodePublish(flags byte, body []byte, v5 bool) (p rawPublish, err error) {
	p.qos = flags >> 1 & 3
	p.dup = flags&8 != 0
	p.retain = flags&1 != 0
	switch {
	case p.qos == 3:
		return p, malformed("QoS 3 does not exist")
	case p.dup && p.qos == 0:
		return p, malformed("DUP with QoS 0")
	}
	d := decoder{rest: body}
	p.topic = d.text("topic")
	if p.qos > 0 {
		if p.id = d.uint16("packet identifier"); p.id == 0 && d.err == nil {
			return p, malformed("packet identifier 0")
		}
	}
	if v5 {
		d.properties(&p)
	}
	if d.err == nil && len(p.topic) == 0 && p.alias == 0 {
		return p, malformed("neither a topic nor a topic alias")
	}
	p.payload = d.rest
	return p, d.err
}

// decoder reads values from the front of rest. It keeps the first error and returns
// zero values after it.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) take(n int, what string) []byte {
	if d.err != nil {
		return nil
	}
	if len(d.rest) < n {
		d.err = malformed(fmt.Sprintf("%s needs %d bytes, %d are left", what, n, len(d.rest)))
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte(what string) byte {
	if b := d.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16(what string) uint16 {
	if b := d.take(2, what); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32(what string) uint32 {
	if b := d.take(4, what); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// text reads a string or binary data: a length of two bytes, then the bytes.
func (d *decoder) text(what string) []byte {
	return d.take(int(d.uint16(what)), what)
}

func (d *decoder) varint(what string) int {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		b := d.byte(what)
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n
		}
	}
	if d.err == nil {
		d.err = malformed(what + " has more than 4 bytes")
	}
	return 0
}

func (d *decoder) properties(p *rawPublish) {
	n := d.varint("property length")
	inner := decoder{rest: d.take(n, "properties"), err: d.err}
	for len(inner.rest) > 0 && inner.err == nil {
		inner.property(p)
	}
	d.err = inner.err
}

func (d *decoder) property(p *rawPublish) {
	switch id := d.byte("property"); id {
	case propTopicAlias:
		if p.alias = d.uint16("topic alias"); p.alias == 0 && d.err == nil {
			d.err = malformed("topic alias 0")
		}
		return
	case propSubscriptionIdentifier:
		d.varint("subscription identifier")
		return
	case propPayloadFormat, propMessageExpiry, propContentType, propResponseTopic, propCorrelationData, propUserProperty:
		if p.properties == nil {
			p.properties = new(properties)
		}
		d.kept(id, p.properties)
	default:
		d.err = malformed(fmt.Sprintf("property %d is not allowed here", id))
	}
}

func (d *decoder) kept(id byte, p *properties) {
	switch id {
	case propPayloadFormat:
		p.payloadFormat, p.hasPayloadFormat = d.byte("payload format indicator"), true
	case propMessageExpiry:
		p.expiry, p.hasExpiry = d.uint32("message expiry interval"), true
	case propContentType:
		p.contentType = string(d.text("content type"))
	case propResponseTopic:
		p.responseTopic = string(d.text("response topic"))
	case propCorrelationData:
		p.correlation, p.hasCorrelation = string(d.text("correlation data")), true
	case propUserProperty:
		key := string(d.text("user property name"))
		p.user = append(p.user, userProperty{key, string(d.text("user property value"))})
	}
}

// size estimates the memory of the properties.
func (p *properties) size() int {
	if p == nil {
		return 0
	}
	n := 128 + len(p.contentType) + len(p.responseTopic) + len(p.correlation)
	for _, u := range p.user {
		n += 64 + len(u.key) + len(u.value)
	}
	return n
}

// appendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP without a reason code, which
// means success and is the same in both versions.
func appendAck(buf []byte, packetType byte, id uint16) []byte {
	flags := byte(0)
	if packetType == typePubrel {
		flags = 2
	}
	return append(buf, packetType<<4|flags, 2, byte(id>>8), byte(id))
}
