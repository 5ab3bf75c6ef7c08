package envelope

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Encoding is the state for encoding the messages of one batch.
type Encoding struct {
	now             func() time.Time
	format          string
	repeatTimestamp bool
	messages        int
	user, header    []Header // reused from message to message

	topic, qos, retain, payload, clientID, username executor
	timestamp, messageID, headers, tags, key        executor
}

// Begin starts a batch. The fields are evaluated on its messages as they are when
// Encode is called.
func (e *Encoder) Begin(batch service.MessageBatch) *Encoding {
	return &Encoding{
		now:             time.Now,
		format:          e.format,
		repeatTimestamp: e.repeatTimestamp,
		messages:        len(batch),

		topic:     field(batch, fieldTopic, e.topic),
		qos:       field(batch, fieldQoS, e.qos),
		retain:    field(batch, fieldRetain, e.retain),
		payload:   field(batch, fieldPayload, e.payload),
		clientID:  field(batch, fieldClientID, e.clientID),
		username:  field(batch, fieldUsername, e.username),
		timestamp: field(batch, fieldTimestamp, e.timestamp),
		messageID: field(batch, fieldMessageID, e.messageID),
		headers:   field(batch, fieldHeader, e.header),
		tags:      field(batch, fieldTags, e.tags),
		key:       field(batch, fieldKey, e.key),
	}
}

// Encode writes the value of the record of message i of the batch, into the room unless
// it is the payload itself.
func (b *Encoding) Encode(room *Room, i int, msg *service.Message, key string) ([]byte, error) {
	switch b.format {
	case FormatRaw:
		return b.payloadAt(i, msg)
	case FormatRecord:
		r, err := b.record(i, msg)
		if err != nil {
			return nil, err
		}
		return room.put(AppendEncodeRecord(room.get(RecordSize(&r), b.messages-i), &r)), nil
	}
	e, err := b.envelope(i, msg)
	if err != nil {
		return nil, err
	}
	e.Key = key
	buf := room.get(EncodedSize(&e, b.repeatTimestamp), b.messages-i)
	return room.put(AppendEncode(buf, &e, b.repeatTimestamp)), nil
}

// envelope collects the fields of one message. The result is valid until the next call.
func (b *Encoding) envelope(i int, msg *service.Message) (e Envelope, err error) {
	user, err := b.headerAt(i, msg, &e)
	if err != nil {
		return e, err
	}
	if e.Topic, err = b.topic.textOr(i, msg, MetaTopic, nil); err != nil {
		return e, err
	}
	if e.ClientID, err = b.clientID.textOr(i, msg, MetaClientID, user); err != nil {
		return e, err
	}
	if e.Username, err = b.username.textOr(i, msg, MetaUsername, user); err != nil {
		return e, err
	}
	n, _, err := b.qos.intOr(i, msg, MetaQoS, 0, 2)
	if err != nil {
		return e, err
	}
	e.QoS = byte(n)
	if n, _, err = b.messageID.intOr(i, msg, MetaMessageID, 0, math.MaxUint16); err != nil {
		return e, err
	}
	e.MessageID = uint16(n)
	if e.Timestamp, err = b.secondsAt(i, msg, math.MinInt64, math.MaxInt64); err != nil {
		return e, err
	}
	if e.Retain, err = b.retainAt(i, msg); err != nil {
		return e, err
	}
	if e.Payload, err = b.payloadAt(i, msg); err != nil {
		return e, err
	}
	if b.tags.x != nil {
		e.Tags, err = b.tags.tagsAt(i)
	}
	return e, err
}

// headerAt sets the header of an envelope and returns the user properties of the
// message, in which its publisher may have named itself.
func (b *Encoding) headerAt(i int, msg *service.Message, e *Envelope) (user []Header, err error) {
	if b.headers.x == nil {
		p, err := propertiesOf(msg, b.user[:0])
		if err != nil {
			return nil, err
		}
		b.user, b.header = p.user, p.appendTo(b.header[:0])
		e.Header = b.header
		return p.user, nil
	}
	if e.Header, err = b.headers.headerAt(i); err != nil {
		return nil, err
	}
	if b.clientID.x == nil || b.username.x == nil {
		user, err = appendUserProperties(nil, msg)
	}
	return user, err
}

// record gathers the fields of one message for a storage record, as envelope does for
// an envelope.
func (b *Encoding) record(i int, msg *service.Message) (r Record, err error) {
	var user []Header
	if b.headers.x == nil {
		if r.properties, err = propertiesOf(msg, b.user[:0]); err != nil {
			return r, err
		}
		b.user = r.properties.user
		user = b.user
	} else {
		var e Envelope
		if user, err = b.headerAt(i, msg, &e); err != nil {
			return r, err
		}
		r.properties = splitHeader(e.Header)
	}
	if r.ClientID, err = b.clientID.textOr(i, msg, MetaClientID, user); err != nil {
		return r, err
	}
	if r.CreateTime, err = b.secondsAt(i, msg, 0, maxCreateTime); err != nil {
		return r, err
	}
	if r.Retain, err = b.retainAt(i, msg); err != nil {
		return r, err
	}
	r.Payload, err = b.payloadAt(i, msg)
	return r, err
}

func (b *Encoding) payloadAt(i int, msg *service.Message) ([]byte, error) {
	if b.payload.x != nil {
		return b.payload.bytesAt(i)
	}
	return msg.AsBytes()
}

// secondsAt returns the time of receipt in Unix seconds, from lo to hi.
func (b *Encoding) secondsAt(i int, msg *service.Message, lo, hi int64) (int64, error) {
	n, ok, err := b.timestamp.intOr(i, msg, MetaTimestampMS, lo, hi)
	switch {
	case err != nil:
		return 0, err
	case b.timestamp.x != nil:
		return n, nil
	case ok:
		return time.UnixMilli(n).Unix(), nil
	}
	return b.now().Unix(), nil
}

func (b *Encoding) retainAt(i int, msg *service.Message) (bool, error) {
	if b.retain.x != nil {
		return b.retain.boolAt(i)
	}
	return metaBool(msg, MetaRetained)
}

// executor evaluates one field for the messages of one batch. x is nil if the field is
// not set.
type executor struct {
	name string
	x    *service.MessageBatchInterpolationExecutor
}

func field(batch service.MessageBatch, name string, s *service.InterpolatedString) executor {
	if s == nil {
		return executor{name: name}
	}
	return executor{name: name, x: batch.InterpolationExecutor(s)}
}

func (x executor) bytesAt(i int) ([]byte, error) {
	v, err := x.x.TryBytes(i)
	if err != nil {
		return nil, fmt.Errorf("evaluating field %s: %w", x.name, err)
	}
	return v, nil
}

func (x executor) textAt(i int) (string, error) {
	v, err := x.x.TryString(i)
	if err != nil {
		return "", fmt.Errorf("evaluating field %s: %w", x.name, err)
	}
	return v, nil
}

// textOr evaluates the field. If it is not set, it returns the metadata of that key,
// else the property with the field's name, else "".
func (x executor) textOr(i int, msg *service.Message, key string, properties []Header) (string, error) {
	if x.x != nil {
		return x.textAt(i)
	}
	if v, ok := metaText(msg, key); ok {
		return v, nil
	}
	v, _ := lookup(properties, x.name)
	return v, nil
}

// intOr evaluates the field. If it is not set, it returns the metadata of that key, if
// there is any.
func (x executor) intOr(i int, msg *service.Message, key string, lo, hi int64) (int64, bool, error) {
	if x.x == nil {
		return metaInt(msg, key, lo, hi)
	}
	s, err := x.textAt(i)
	if err != nil {
		return 0, false, err
	}
	n, err := parseInt(s, lo, hi)
	return n, true, x.failed(err)
}

func (x executor) boolAt(i int) (bool, error) {
	s, err := x.textAt(i)
	if err != nil {
		return false, err
	}
	b, err := parseBool(s)
	return b, x.failed(err)
}

func (x executor) headerAt(i int) ([]Header, error) {
	s, err := x.textAt(i)
	if err != nil {
		return nil, err
	}
	header, err := parseHeader(s)
	return header, x.failed(err)
}

func (x executor) tagsAt(i int) ([]string, error) {
	s, err := x.textAt(i)
	if err != nil {
		return nil, err
	}
	tags, err := parseTags(s)
	return tags, x.failed(err)
}

// failed adds the field's name to an error.
func (x executor) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("evaluating field %s: %w", x.name, err)
}

// CheckField returns what is wrong with the text that an encoding field evaluates to,
// or nil. Fields that accept any text have nothing to check.
func CheckField(name, text string) (err error) {
	switch name {
	case fieldQoS:
		_, err = parseInt(text, 0, 2)
	case fieldMessageID:
		_, err = parseInt(text, 0, math.MaxUint16)
	case fieldTimestamp:
		_, err = parseInt(text, math.MinInt64, math.MaxInt64)
	case fieldRetain:
		_, err = parseBool(text)
	case fieldHeader:
		_, err = parseHeader(text)
	case fieldTags:
		_, err = parseTags(text)
	}
	return err
}

func parseInt(s string, lo, hi int64) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < lo || n > hi {
		return 0, wrong(s, wantInteger(lo, hi))
	}
	return n, nil
}

func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, wrong(s, "true or false")
	}
	return s == "true", nil
}

// wrong is the error for a field that evaluates to an invalid value.
func wrong(got, want string) error {
	return fmt.Errorf("want %s, got %s", want, quote(got))
}

// lookup returns the first header entry with that name.
func lookup(header []Header, name string) (string, bool) {
	for _, h := range header {
		if h.Key == name {
			return h.Value, true
		}
	}
	return "", false
}

// parseHeader reads the JSON array of the field header.
func parseHeader(s string) ([]Header, error) {
	r := scanner{data: []byte(strings.TrimSpace(s)), field: fieldHeader, index: -1}
	header, err := r.header()
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wrong(s, `a JSON array of objects with the strings "key" and "value"`), err)
	}
	return header, nil
}

// parseTags reads the JSON array of the field tags.
func parseTags(s string) ([]string, error) {
	r := scanner{data: []byte(strings.TrimSpace(s)), field: fieldTags, index: -1}
	tags, err := r.strings()
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wrong(s, "a JSON array of strings"), err)
	}
	return tags, nil
}
