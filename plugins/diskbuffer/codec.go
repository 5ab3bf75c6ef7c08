package diskbuffer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
)

// The body of a record is a message: flags, payload, the error if there is one, the
// number of metadata values, and for each its key and its value. Numbers are varints,
// and texts have their length before them. A key is the number of a known key, or 0 and
// its text. A value is a tag and what the tag says.

// Flags of a message.
const (
	flagError = 1 << iota
	flagNoPayload
)

// Tags of values. The numbers are on disk: append new ones.
const (
	tagNil byte = iota
	tagFalse
	tagTrue
	tagString
	tagBytes
	tagInt
	tagInt64
	tagFloat64
	tagTime
	tagList
	tagObject
	tagUint64
	tagInt32
	tagUint32
	tagFloat32
	tagNumber
)

// knownKeys are written as their number, from 1. They are on disk: append new ones.
var knownKeys = []string{
	envelope.MetaTopic, envelope.MetaQoS, envelope.MetaRetained, envelope.MetaMessageID,
	envelope.MetaTimestampMS, "mqtt_duplicate", envelope.MetaContentType, envelope.MetaResponseTopic,
	envelope.MetaCorrelationData, envelope.MetaPayloadFormatIndicator, envelope.MetaMessageExpiryInterval,
	envelope.MetaUserProperties, envelope.MetaClientID, envelope.MetaUsername, "mqtt_payload_size",
}

var keyNumbers = func() map[string]uint64 {
	numbers := make(map[string]uint64, len(knownKeys))
	for i, key := range knownKeys {
		numbers[key] = uint64(i + 1)
	}
	return numbers
}()

// maxDepth is how deep lists and objects may be nested.
const maxDepth = 1000

// encode appends a message. The error says what no record can hold.
func encode(b []byte, msg *service.Message) ([]byte, error) {
	payload, err := msg.AsBytes()
	if err != nil {
		return b, fmt.Errorf("reading the payload: %w", err)
	}
	flags := byte(0)
	failure := msg.GetError()
	if failure != nil {
		flags |= flagError
	}
	if payload == nil {
		flags |= flagNoPayload
	}
	b = appendBytes(append(b, flags), payload)
	if failure != nil {
		b = appendBytes(b, failure.Error())
	}
	var values int
	at := len(b)
	b = append(b, 0, 0) // the number of values
	err = msg.MetaWalkMut(func(key string, value any) error {
		values++
		number := keyNumbers[key]
		b = binary.AppendUvarint(b, number)
		if number == 0 {
			b = appendBytes(b, key)
		}
		var err error
		if b, err = appendValue(b, value, 0); err != nil {
			return fmt.Errorf("metadata %q: %w", key, err)
		}
		return nil
	})
	if values > math.MaxUint16 {
		return b, fmt.Errorf("a message has %d metadata values; the buffer holds at most %d", values, math.MaxUint16)
	}
	binary.LittleEndian.PutUint16(b[at:], uint16(values))
	return b, err
}

func appendBytes[T []byte | string](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendValue(b []byte, value any, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return b, fmt.Errorf("lists and objects are nested more than %d deep", maxDepth)
	}
	switch v := value.(type) {
	case nil:
		return append(b, tagNil), nil
	case bool:
		if v {
			return append(b, tagTrue), nil
		}
		return append(b, tagFalse), nil
	case string:
		return appendBytes(append(b, tagString), v), nil
	case []byte:
		return appendBytes(append(b, tagBytes), v), nil
	case int:
		return binary.AppendVarint(append(b, tagInt), int64(v)), nil
	case int64:
		return binary.AppendVarint(append(b, tagInt64), v), nil
	case int32:
		return binary.AppendVarint(append(b, tagInt32), int64(v)), nil
	case uint32:
		return binary.AppendUvarint(append(b, tagUint32), uint64(v)), nil
	case uint64:
		return binary.AppendUvarint(append(b, tagUint64), v), nil
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, tagFloat64), math.Float64bits(v)), nil
	case float32:
		return binary.LittleEndian.AppendUint32(append(b, tagFloat32), math.Float32bits(v)), nil
	case json.Number:
		return appendBytes(append(b, tagNumber), string(v)), nil
	case time.Time:
		text, err := v.MarshalBinary()
		if err != nil {
			return b, err
		}
		return appendBytes(append(b, tagTime), text), nil
	case []any:
		b = binary.AppendUvarint(append(b, tagList), uint64(len(v)))
		for _, item := range v {
			if b, err = appendValue(b, item, depth+1); err != nil {
				return b, err
			}
		}
		return b, nil
	case map[string]any:
		b = binary.AppendUvarint(append(b, tagObject), uint64(len(v)))
		for key, item := range v {
			if b, err = appendValue(appendBytes(b, key), item, depth+1); err != nil {
				return b, err
			}
		}
		return b, nil
	}
	// Of another type there is the text, which is what an interpolation makes of it.
	return appendBytes(append(b, tagString), fmt.Sprint(value)), nil
}

var errRecord = errors.New("the record is not one that this program wrote")

// decoder decodes records, one after the other. It shares equal texts.
type decoder struct {
	b      []byte
	failed bool
	texts  map[string]any // boxed
	last   int64
	boxed  any // last
}

// maxTexts is how many texts are shared.
const maxTexts = 4096

// decode returns the message of a record. Its payload is a part of body.
func (d *decoder) decode(body []byte) (*service.Message, error) {
	d.b, d.failed = body, false
	if len(body) == 0 {
		return nil, errRecord
	}
	flags := body[0]
	d.b = body[1:]
	payload := d.bytes()
	if flags&flagNoPayload != 0 {
		payload = nil
	}
	msg := service.NewMessage(payload)
	if flags&flagError != 0 {
		msg.SetError(errors.New(string(d.bytes())))
	}
	if len(d.b) < 2 {
		return nil, errRecord
	}
	values := binary.LittleEndian.Uint16(d.b)
	d.b = d.b[2:]
	for range values {
		number, key := d.uvarint(), ""
		switch {
		case number == 0:
			key = string(d.bytes())
		case number <= uint64(len(knownKeys)):
			key = knownKeys[number-1]
		default:
			d.failed = true
		}
		value := d.value(0)
		if d.failed {
			return nil, errRecord
		}
		msg.MetaSetMut(key, value)
	}
	if d.failed || len(d.b) > 0 {
		return nil, errRecord
	}
	return msg, nil
}

func (d *decoder) uvarint() uint64 { return readNumber(d, binary.Uvarint) }

func (d *decoder) varint() int64 { return readNumber(d, binary.Varint) }

// readNumber reads a number with read, or returns 0 if there is none.
func readNumber[N int64 | uint64](d *decoder, read func([]byte) (N, int)) N {
	v, n := read(d.b)
	if n <= 0 {
		d.b, d.failed = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// take returns the next bytes, or zeros if there are not so many.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.b, d.failed = nil, true
		return make([]byte, min(n, 8))
	}
	taken := d.b[:n:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

// text returns a string in an interface, the same for the same text.
func (d *decoder) text(b []byte) any {
	if boxed, ok := d.texts[string(b)]; ok {
		return boxed
	}
	if len(b) > 256 {
		return string(b)
	}
	if d.texts == nil || len(d.texts) >= maxTexts {
		d.texts = make(map[string]any)
	}
	text := string(b)
	d.texts[text] = text
	return d.texts[text]
}

func (d *decoder) value(depth int) any {
	if depth > maxDepth {
		d.failed = true
		return nil
	}
	switch tag := d.take(1)[0]; tag {
	case tagNil:
		return nil
	case tagFalse:
		return false
	case tagTrue:
		return true
	case tagString:
		return d.text(d.bytes())
	case tagBytes:
		return slices.Clone(d.bytes())
	case tagInt:
		return int(d.varint())
	case tagInt64:
		if v := d.varint(); v != d.last || d.boxed == nil {
			d.last, d.boxed = v, v
		}
		return d.boxed
	case tagInt32:
		return int32(d.varint())
	case tagUint32:
		return uint32(d.uvarint())
	case tagUint64:
		return d.uvarint()
	case tagFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(d.take(8)))
	case tagFloat32:
		return math.Float32frombits(binary.LittleEndian.Uint32(d.take(4)))
	case tagNumber:
		return json.Number(d.bytes())
	case tagTime:
		var t time.Time
		if t.UnmarshalBinary(d.bytes()) != nil {
			d.failed = true
		}
		return t
	case tagList:
		list := []any{}
		for n := d.uvarint(); n > 0 && !d.failed; n-- {
			list = append(list, d.value(depth+1))
		}
		return list
	case tagObject:
		object := map[string]any{}
		for n := d.uvarint(); n > 0 && !d.failed; n-- {
			key := string(d.bytes())
			object[key] = d.value(depth + 1)
		}
		return object
	}
	d.failed = true
	return nil
}
