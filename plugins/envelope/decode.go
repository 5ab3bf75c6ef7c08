package envelope

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// DecodeError says why a record is not an envelope.
type DecodeError struct {
	// Field is the name in error, such as "qos" or "header[2].value", or "record" for
	// the JSON object as a whole.
	Field string
	// Offset is the byte offset of the error in the record, from 0.
	Offset int
	// Reason says what is wrong and what is right.
	Reason string
}

// Error implements error.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("decoding %s at byte %d: %s", e.Field, e.Offset, e.Reason)
}

// One bit for each name of an envelope, for the set of names read.
const (
	seenTopic = 1 << iota
	seenQoS
	seenRetain
	seenPayload
	seenClientID
	seenUsername
	seenTimestamp
	seenMessageID
	seenHeader
	seenKey
	seenData
	seenTags
	seenCRC
)

// Decoded is what a Kafka record holds: an envelope, or a storage record.
type Decoded struct {
	Envelope Envelope
	// Record is nil where the record is an envelope.
	Record *Record
	// HasTopic tells whether the record tells the MQTT topic.
	HasTopic bool
}

// Decode reads one envelope. It accepts the names in any order and ignores unknown
// names. It accepts payload or data alone, header entries with key or name, and byte
// strings as base64 or as arrays of numbers. A null counts as a missing name. Only
// payload (or data) is required; missing tags default to the levels of the topic.
// timestamp may appear twice: the first one is used, which is the time of receipt. Any
// other repeated name is an error, and so are payload and data that differ. In strings
// that are not UTF-8, the wrong bytes are replaced by U+FFFD.
//
// A crc_num that does not match the payload is an error if verifyCRC is true. Every
// error is a *DecodeError. The result shares no memory with data.
func Decode(data []byte, verifyCRC bool) (Envelope, error) {
	d, err := DecodeFormat(data, FormatJSON, verifyCRC)
	return d.Envelope, err
}

// DecodeFormat reads one record of FormatJSON or of FormatRecord, or where the format
// is "" of either, as its names say. Then a record that has the names of neither is an
// error; for the rest see Decode.
func DecodeFormat(data []byte, format string, verifyCRC bool) (Decoded, error) {
	d := decoder{scanner: scanner{data: data, field: "record", index: -1}, format: format}
	if err := d.members(); err != nil {
		return Decoded{}, err
	}
	var decoded Decoded
	var err error
	if d.isRecord() {
		decoded.Record, err = d.record()
	} else {
		decoded.HasTopic = d.seen&seenTopic != 0
		decoded.Envelope, err = d.envelope()
	}
	if err == nil && verifyCRC {
		err = d.verify()
	}
	if err != nil {
		return Decoded{}, err
	}
	return decoded, nil
}

// blob is a byte string of the record, decoded and as it is written.
type blob struct {
	value, raw []byte
	at         int
	set        bool
}

type decoder struct {
	scanner
	format        string // FormatJSON, FormatRecord, or "" for either
	e             Envelope
	seen          int
	payload, data blob
	crc           uint32
	crcAt         int
	crcField      string // "" where the record has none
	// metadataAt and protocolAt are where these values of a storage record stand, 0
	// where they do not.
	metadataAt, protocolAt int
}

// members reads the record's own names.
func (d *decoder) members() error {
	d.space()
	if c := d.peek(); c != '{' && d.format != FormatJSON {
		return d.fail(d.pos, "want a JSON object, got %s; the binary storage forms of RobustMQ (bincode, rkyv, protobuf) are not decoded, and with format: raw the record is the payload", d.kind())
	}
	if err := d.object(d.member); err != nil {
		return err
	}
	d.field = "record"
	return d.end()
}

// isRecord tells whether the names are those of a storage record.
func (d *decoder) isRecord() bool {
	return d.format == FormatRecord ||
		d.format == "" && d.metadataAt > 0 && d.protocolAt > 0 && d.seen&^seenData == 0
}

func (d *decoder) envelope() (Envelope, error) {
	none := Envelope{}
	switch {
	case d.format == "" && (d.seen&(seenPayload|seenData) == 0 || d.seen&^(seenPayload|seenData) == 0):
		return none, &DecodeError{"record", 0, "has neither the names of RobustMQ's envelope (topic, payload, …) nor those of its storage record (metadata, protocol_data, data); with format: raw the record is the payload"}
	case d.payload.set && d.data.set && !bytes.Equal(d.payload.value, d.data.value):
		return none, &DecodeError{"data", d.data.at, "differs from payload; want the same bytes in both, or one of them alone"}
	case d.payload.set:
		d.e.Payload = d.payload.value
	case d.data.set:
		d.e.Payload = d.data.value
	default:
		return none, &DecodeError{"payload", d.pos, "the record has neither payload nor data; want one of them"}
	}
	if d.e.Tags == nil {
		d.e.Tags = LevelsOf(d.e.Topic)
	}
	return d.e, nil
}

// checksum reads the record's crc_num.
func (d *decoder) checksum() error {
	d.crcAt, d.crcField = d.pos, d.place()
	n, err := d.integer(0, math.MaxUint32)
	d.crc = uint32(n)
	return err
}

// verify compares crc_num with the payload.
func (d *decoder) verify() error {
	payload := d.e.Payload
	if d.isRecord() {
		payload = d.data.value
	}
	if sum := crc32.ChecksumIEEE(payload); d.crcField != "" && sum != d.crc {
		return &DecodeError{d.crcField, d.crcAt, fmt.Sprintf(
			"the record has %d but the payload has %d; set verify_crc to false to accept it", d.crc, sum)}
	}
	return nil
}

// member reads the value of one name of the envelope.
func (d *decoder) member(name []byte, nameAt int) (err error) {
	bit := 0
	switch string(name) {
	case "topic":
		d.field, bit = "topic", seenTopic
	case "qos":
		d.field, bit = "qos", seenQoS
	case "retain":
		d.field, bit = "retain", seenRetain
	case "payload":
		d.field, bit = "payload", seenPayload
	case "client_id":
		d.field, bit = "client_id", seenClientID
	case "username":
		d.field, bit = "username", seenUsername
	case "timestamp":
		d.field, bit = "timestamp", seenTimestamp
	case "message_id":
		d.field, bit = "message_id", seenMessageID
	case "header":
		d.field, bit = "header", seenHeader
	case "key":
		d.field, bit = "key", seenKey
	case "data":
		d.field, bit = "data", seenData
	case "tags":
		d.field, bit = "tags", seenTags
	case "crc_num":
		d.field, bit = "crc_num", seenCRC
	default:
		if len(name) > 0 {
			d.field = clip(name)
		}
		return d.otherMember(name, nameAt)
	}
	again := d.seen&bit != 0
	if again && bit != seenTimestamp {
		return d.fail(nameAt, "is repeated; want it once")
	}
	if d.null() {
		return nil
	}
	d.seen |= bit
	var n int64
	switch bit {
	case seenTopic:
		d.e.Topic, err = d.str()
	case seenQoS:
		n, err = d.integer(0, 2)
		d.e.QoS = byte(n)
	case seenRetain:
		d.e.Retain, err = d.boolean()
	case seenPayload:
		d.payload, err = d.blob(&d.data)
	case seenClientID:
		d.e.ClientID, err = d.str()
	case seenUsername:
		d.e.Username, err = d.str()
	case seenTimestamp:
		if n, err = d.integer(math.MinInt64, math.MaxInt64); !again {
			d.e.Timestamp = n
		}
	case seenMessageID:
		n, err = d.integer(0, math.MaxUint16)
		d.e.MessageID = uint16(n)
	case seenHeader:
		d.e.Header, err = d.header()
	case seenKey:
		d.e.Key, err = d.str()
	case seenData:
		d.data, err = d.blob(&d.payload)
	case seenTags:
		d.e.Tags, err = d.strings()
	case seenCRC:
		err = d.checksum()
	}
	return err
}

// otherMember notes where the values of a storage record stand, and skips what an
// envelope does not have.
func (d *decoder) otherMember(name []byte, nameAt int) error {
	var at *int
	switch string(name) {
	case "metadata":
		at = &d.metadataAt
	case "protocol_data":
		at = &d.protocolAt
	}
	if at != nil && d.format != FormatJSON {
		if *at > 0 {
			return d.fail(nameAt, "comes a second time; want it once")
		}
		*at = d.pos
	}
	return d.skip(0)
}

// blob reads a byte string. In our own records payload and data are the same text, so
// one that equals the other is not decoded again.
func (d *decoder) blob(other *blob) (blob, error) {
	b := blob{at: d.pos, set: true}
	if other.set && bytes.HasPrefix(d.scanner.data[d.pos:], other.raw) {
		b.value, b.raw = other.value, other.raw
		d.pos += len(other.raw)
		return b, nil
	}
	var err error
	switch d.peek() {
	case '"':
		b.value, err = d.base64()
	case '[':
		b.value, err = d.bytes()
	default:
		err = d.fail(d.pos, "want a base64 string or an array of byte numbers, got %s", d.kind())
	}
	b.raw = d.scanner.data[b.at:d.pos]
	return b, err
}

// base64 reads a string like the standard library, which skips line breaks.
func (d *decoder) base64() ([]byte, error) {
	at := d.pos
	text, err := d.text()
	if err != nil {
		return nil, err
	}
	value := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(value, text)
	if err != nil {
		// If the string has escapes, offsets in the decoded text do not match the
		// record, so the error has the offset of the string.
		var corrupt base64.CorruptInputError
		if errors.As(err, &corrupt) && len(text)+2 == d.pos-at {
			at += 1 + int(corrupt)
		}
		return nil, d.fail(at, "is not standard base64 with padding (RFC 4648, section 4)")
	}
	return value[:n], nil
}

func (s *scanner) header() ([]Header, error) {
	header := []Header{}
	err := s.array(func(i int) error {
		s.index = i
		h, err := s.headerEntry()
		header = append(header, h)
		return err
	})
	return header, err
}

func (s *scanner) headerEntry() (h Header, err error) {
	at := s.pos
	var hasKey, hasValue bool
	err = s.object(func(name []byte, nameAt int) (err error) {
		switch string(name) {
		case "key", "name":
			s.sub = "key"
			if name[0] == 'n' {
				s.sub = "name"
			}
			had, key := hasKey, h.Key
			hasKey = true
			if h.Key, err = s.str(); err == nil && had && key != h.Key {
				err = s.fail(nameAt, "differs from the name before it; want key or name once")
			}
		case "value":
			s.sub = "value"
			if hasValue {
				return s.fail(nameAt, "is repeated; want it once")
			}
			hasValue = true
			h.Value, err = s.str()
		default:
			err = s.skip(1)
		}
		return err
	})
	s.sub = ""
	if err == nil && (!hasKey || !hasValue) {
		err = s.fail(at, `want an object with "key" (or "name") and "value"`)
	}
	return h, err
}

func (s *scanner) strings() ([]string, error) {
	list := []string{}
	err := s.array(func(i int) error {
		s.index = i
		v, err := s.str()
		list = append(list, v)
		return err
	})
	return list, err
}
