// Package envelope defines the JSON record that carries MQTT messages through Kafka: a
// codec that does not depend on the engine, and the robustmq_envelope processor that
// uses it.
//
// The package starts no goroutine. Several goroutines may use an Encoder; an Encoding
// belongs to one batch (encode.go). The processor acknowledges nothing: a message that
// it cannot encode or decode is passed on with an error.
package envelope

import (
	"encoding/base64"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Envelope is one MQTT message with the contents of its Kafka record.
type Envelope struct {
	// Topic is the MQTT topic name that the message was published to.
	Topic string
	// QoS is the quality of service of the delivery: 0, 1 or 2.
	QoS byte
	// Retain is the retain flag of the delivery.
	Retain bool
	// Payload is the message body: any bytes, or none.
	Payload []byte
	// ClientID and Username belong to the publisher. MQTT does not send them to
	// subscribers, so they are empty unless something else supplies them.
	ClientID, Username string
	// Timestamp is the time of receipt in Unix seconds.
	Timestamp int64
	// MessageID is the MQTT packet identifier, 0 for QoS 0.
	MessageID uint16
	// Header holds the MQTT 5 properties in order.
	Header []Header
	// Key is the Kafka record key.
	Key string
	// Tags are the levels of the topic. Nil means LevelsOf(Topic), so the usual case
	// needs no slice; use an empty slice for no tags.
	Tags []string
}

// Header is one MQTT 5 property.
type Header struct {
	Key, Value string
}

// frame is an envelope of empty strings and wide numbers, with a timestamp of today's
// width. Only its length is used: the size of an encoded envelope without its strings.
const frame = `{"topic":"","qos":255,"retain":false,"payload":"","client_id":"","username":"",` +
	`"timestamp":1640995200,"message_id":65535,"header":[],"key":"","data":"","tags":[],` +
	`"crc_num":4294967295}`

// EncodedSize returns the length in bytes of the encoded envelope if no string needs an
// escape, or slightly more; with escapes the envelope may be longer.
func EncodedSize(e *Envelope, repeatTimestamp bool) int {
	n := len(frame) + len(e.Topic) + len(e.ClientID) + len(e.Username) + len(e.Key) +
		2*base64.StdEncoding.EncodedLen(len(e.Payload))
	if repeatTimestamp {
		n += len(`,"timestamp":1640995200`)
	}
	for i := range e.Header {
		n += len(`{"key":"","value":""},`) + len(e.Header[i].Key) + len(e.Header[i].Value)
	}
	if e.Tags == nil {
		return n + len(e.Topic) + len(`"",`)*(strings.Count(e.Topic, "/")+1)
	}
	for _, tag := range e.Tags {
		n += len(`"",`) + len(tag)
	}
	return n
}

// AppendEncode appends the envelope to dst as one JSON object, without a line
// break, and returns the extended buffer. The names come in the documented
// order: topic, qos, retain, payload, client_id, username, timestamp,
// message_id, header, key, data, tags, timestamp once more if repeatTimestamp
// is true, crc_num. Both payload and data are the payload in standard base64
// with padding; crc_num is its CRC-32 (IEEE).
//
// The output is valid JSON for any strings: bytes that are not UTF-8 become U+FFFD.
// Numbers are written as they are; the caller must keep QoS within 0..2.
func AppendEncode(dst []byte, e *Envelope, repeatTimestamp bool) []byte {
	dst = slices.Grow(dst, EncodedSize(e, repeatTimestamp))
	dst = append(dst, `{"topic":`...)
	dst = appendString(dst, e.Topic)
	dst = append(dst, `,"qos":`...)
	dst = strconv.AppendUint(dst, uint64(e.QoS), 10)
	dst = append(dst, `,"retain":`...)
	dst = strconv.AppendBool(dst, e.Retain)
	dst = append(dst, `,"payload":`...)
	payloadAt := len(dst)
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, e.Payload)
	dst = append(dst, '"')
	payloadEnd := len(dst)
	dst = append(dst, `,"client_id":`...)
	dst = appendString(dst, e.ClientID)
	dst = append(dst, `,"username":`...)
	dst = appendString(dst, e.Username)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, e.Timestamp, 10)
	dst = append(dst, `,"message_id":`...)
	dst = strconv.AppendUint(dst, uint64(e.MessageID), 10)
	dst = append(dst, `,"header":`...)
	dst = appendHeader(dst, e.Header)
	dst = append(dst, `,"key":`...)
	dst = appendString(dst, e.Key)
	dst = append(dst, `,"data":`...)
	dst = append(dst, dst[payloadAt:payloadEnd]...)
	dst = append(dst, `,"tags":`...)
	if e.Tags == nil {
		dst = appendLevels(dst, e.Topic)
	} else {
		dst = appendStrings(dst, e.Tags)
	}
	if repeatTimestamp {
		dst = append(dst, `,"timestamp":`...)
		dst = strconv.AppendInt(dst, e.Timestamp, 10)
	}
	dst = append(dst, `,"crc_num":`...)
	dst = strconv.AppendUint(dst, uint64(crc32.ChecksumIEEE(e.Payload)), 10)
	return append(dst, '}')
}

// LevelsOf splits a topic name at every slash, as MQTT does: a leading, trailing or
// double slash creates an empty level, so "/a//b" has the levels "", "a", "", "b". The
// empty string is not a topic name in MQTT and has no levels: the result is an empty
// slice.
func LevelsOf(topic string) []string {
	if topic == "" {
		return []string{}
	}
	return strings.Split(topic, "/")
}

// appendLevels writes the array of LevelsOf(topic) without building the slice.
func appendLevels(dst []byte, topic string) []byte {
	if topic == "" {
		return append(dst, `[]`...)
	}
	sep := byte('[')
	for more := true; more; {
		var level string
		level, topic, more = strings.Cut(topic, "/")
		dst = append(dst, sep)
		dst = appendString(dst, level)
		sep = ','
	}
	return append(dst, ']')
}

func appendHeader(dst []byte, header []Header) []byte {
	dst = append(dst, '[')
	for i := range header {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"key":`...)
		dst = appendString(dst, header[i].Key)
		dst = append(dst, `,"value":`...)
		dst = appendString(dst, header[i].Value)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// plain marks the ASCII bytes that need no escape in a JSON string.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// plainPrefix returns a number of bytes at the start of s that certainly need no
// escape. It checks eight at a time: most strings need none.
func plainPrefix(s string) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		b := s[i : i+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		// x - ones sets the high bit of a byte that is zero.
		quote, backslash := w^(ones*'"'), w^(ones*'\\')
		if (w|(w-ones*' ')|(quote-ones)&^quote|(backslash-ones)&^backslash)&high != 0 {
			break
		}
	}
	return i
}

// appendString writes s as a JSON string (RFC 8259). U+2028 and U+2029 are
// legal there but end a line in older JavaScript, so they are escaped as well.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := plainPrefix(s); i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hex[r&0xf])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
