package kafka

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	untrusted "github.com/robustmq/robustmq-connect/plugins/expression"
)

// expression is an interpolated field. Its common forms are evaluated without the
// expression engine.
type expression struct {
	engine *service.InterpolatedString

	constant   string
	isConstant bool
	meta       string // the metadata that a plain look-up names

	field        string // as it was written
	limited      bool
	readsContent bool // set where limited
}

// plainLookup is `${! @name }`, `${! meta("name") }` or `${! metadata("name") }`,
// each with or without .or("").
var plainLookup = regexp.MustCompile(`^\$\{!\s*(?:@([A-Za-z_][A-Za-z0-9_]*)|(?:meta|metadata)\("([^"\\]+)"\))(?:\.or\(""\))?\s*\}$`)

func newExpression(text string, engine *service.InterpolatedString) *expression {
	e := &expression{engine: engine, field: text}
	if e.constant, e.isConstant = engine.Static(); e.isConstant {
		return e
	}
	if m := plainLookup.FindStringSubmatch(text); m != nil {
		e.meta = m[1] + m[2]
	}
	return e
}

func parseExpression(conf *service.ParsedConfig, name string) (*expression, error) {
	if !conf.Contains(name) {
		return nil, nil
	}
	text, err := conf.FieldString(name)
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", name, err)
	}
	engine, err := conf.FieldInterpolatedString(name)
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", name, err)
	}
	return newExpression(text, engine), nil
}

// text returns the field's value for the message. A look-up that finds a non-empty
// string returns it unchanged. The forms differ for other values, so the engine
// evaluates those.
func (e *expression) text(msg *service.Message) (string, error) {
	if e.isConstant {
		return e.constant, nil
	}
	if e.meta != "" {
		if v, ok := msg.MetaGetImmut(e.meta); ok {
			if s, ok := v.(string); ok && s != "" {
				return s, nil
			}
		}
	}
	if e.limited {
		return e.limitedText(msg)
	}
	return e.engine.TryString(msg)
}

// limitedText evaluates an untrusted expression. A parsed payload takes many times its
// length: it is released with the copy, and does not stay with each message of a batch.
func (e *expression) limitedText(msg *service.Message) (string, error) {
	if e.readsContent {
		content, err := msg.AsBytes()
		if err != nil {
			return "", err
		}
		if err := untrusted.CheckContent(len(content)); err != nil {
			return "", err
		}
		msg = msg.Copy()
	}
	text, err := e.engine.TryString(msg)
	if err != nil {
		return "", err
	}
	return text, untrusted.CheckResult(len(text))
}

// number returns the field's value for the message as a whole number.
func (e *expression) number(msg *service.Message, bits int) (int64, error) {
	if e.meta != "" {
		if v, ok := msg.MetaGetImmut(e.meta); ok {
			switch v := v.(type) {
			case int64:
				if bits == 64 {
					return v, nil
				}
			case int:
				if bits == 64 {
					return int64(v), nil
				}
			}
		}
	}
	text, err := e.text(msg)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, bits)
}

// builder builds the records of a batch.
type builder struct {
	topic, key, partition, timestamp *expression
	timestampMs                      bool
	headers                          *service.MetadataFilter // nil for none
	envelope                         *envelope.Encoder       // nil to write the content unchanged
}

func parseBuilder(conf *service.ParsedConfig) (b builder, err error) {
	for name, to := range map[string]**expression{fieldTopic: &b.topic, fieldKey: &b.key, fieldPartition: &b.partition, fieldTimestamp: &b.timestamp} {
		if *to, err = parseExpression(conf, name); err != nil {
			return b, err
		}
	}
	if b.partition != nil && b.partition.isConstant && b.partition.constant == "" {
		b.partition = nil
	}
	if b.timestamp == nil {
		if b.timestamp, err = parseExpression(conf, fieldTimestampMs); err != nil {
			return b, err
		}
		b.timestampMs = true
	}
	if b.topic.isConstant {
		if err := checkTopic(b.topic.constant); err != nil {
			return b, fmt.Errorf("field %s: %w", fieldTopic, err)
		}
	}
	if conf.Contains(fieldMetadata) {
		filter, err := conf.FieldMetadataFilter(fieldMetadata)
		if err != nil {
			return b, fmt.Errorf("field %s: %w", fieldMetadata, err)
		}
		if !filter.IsEmpty() {
			b.headers = filter
		}
	}
	enabled, err := conf.FieldBool(fieldEnvelope, fieldEnabled)
	if err != nil {
		return b, err
	}
	if enabled {
		if b.envelope, err = envelope.ParseEncoder(conf.Namespace(fieldEnvelope)); err != nil {
			return b, fmt.Errorf("field %s: %w", fieldEnvelope, err)
		}
	}
	return b, nil
}

// limit applies the limits of the package expression.
func (b *builder) limit() {
	for _, e := range []*expression{b.topic, b.key, b.partition, b.timestamp} {
		if e != nil {
			e.limited, e.readsContent = true, untrusted.ReadsContent(e.field)
		}
	}
}

// build makes one record of each message. errs has the errors of messages that cannot
// become a record; it is nil if there are none. Payloads are not copied; keys share one
// buffer, and envelopes another.
func (b *builder) build(batch service.MessageBatch, in *buffers) (errs []error) {
	m := making{builder: b, buffers: in}
	if b.key != nil && b.key.isConstant {
		m.keys = append(m.keys, b.key.constant...)
	}
	if b.envelope != nil {
		m.encoding = b.envelope.Begin(batch)
	}
	m.records = slices.Grow(m.records, len(batch))[:len(batch)]
	for i, msg := range batch {
		if err := m.record(&m.records[i], i, msg); err != nil {
			if errs == nil {
				errs = make([]error, len(batch))
			}
			errs[i] = &recordError{err}
		}
	}
	return errs
}

// fallback sets as much of the record as possible for a message that cannot be written.
// Values that the failed processor should have set are missing, and the metadata may be
// the only hint at the message's origin. The value is the message's own, also where an
// envelope was made: whoever reads the dead letter has the payload and the metadata.
func (b *builder) fallback(record *kgo.Record, msg *service.Message) {
	missing := func(e *expression) bool {
		if e == nil || e.meta == "" {
			return false
		}
		_, found := msg.MetaGetImmut(e.meta)
		return !found
	}
	if missing(b.topic) {
		record.Topic = ""
	}
	if missing(b.key) {
		record.Key = nil
	}
	if payload, err := msg.AsBytes(); err == nil {
		record.Value = payload
	}
	record.Partition = -1
	record.Headers = nil
	add := func(key, value string) error {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
		return nil
	}
	if b.headers != nil {
		_ = b.headers.Walk(msg, add)
	} else {
		_ = msg.MetaWalk(add)
	}
	addTraceContext(record, msg)
}

// buffers hold the records of a batch, and their contents.
type buffers struct {
	records   []kgo.Record
	keys      []byte // of the records so far, or the one of all
	envelopes envelope.Room
	rooms     batchRooms // of the part that is being built
}

// empty prepares the buffers for another batch. The client must have finished all
// records of this one, including failed ones that may still be in flight.
func (b *buffers) empty() {
	clear(b.records)
	b.records, b.keys = b.records[:0], b.keys[:0]
	b.envelopes.Reset()
	b.rooms.reset()
}

// making is the state that the records of one batch share while they are built.
type making struct {
	*builder
	*buffers
	encoding *envelope.Encoding // nil without envelopes
}

// record sets r from message i.
func (m *making) record(r *kgo.Record, i int, msg *service.Message) error {
	key, err := m.setKey(r, msg)
	if err != nil {
		return err
	}
	if err := m.setValue(r, i, msg, key); err != nil {
		return err
	}
	if r.Topic, err = m.topic.text(msg); err != nil {
		return evaluating(fieldTopic, err)
	}
	if !m.topic.isConstant {
		if err := checkTopic(r.Topic); err != nil {
			return &FieldError{fieldTopic, err}
		}
	}
	if m.headers != nil {
		err := m.headers.Walk(msg, func(key, value string) error {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading metadata: %w", err)
		}
	}
	addTraceContext(r, msg)
	if m.timestamp != nil {
		t, err := m.timestamp.number(msg, 64)
		if err != nil {
			return fmt.Errorf("evaluating the timestamp: %w", err)
		}
		if m.timestampMs {
			r.Timestamp = time.UnixMilli(t)
		} else {
			r.Timestamp = time.Unix(t, 0)
		}
	}
	r.Partition = -1
	if m.partition != nil {
		p, err := m.partition.number(msg, 32)
		if err != nil {
			return evaluating(fieldPartition, err)
		}
		r.Partition = int32(p)
	}
	return nil
}

// setKey sets the key, and returns it as text too, "" if there is none.
func (m *making) setKey(r *kgo.Record, msg *service.Message) (string, error) {
	if m.key == nil {
		return "", nil
	}
	key, err := m.key.text(msg)
	switch {
	case err != nil:
		return "", evaluating(fieldKey, err)
	case key == "":
		r.Key = []byte{} // nil means no key
	case m.key.isConstant:
		r.Key = m.keys
	default:
		start := len(m.keys)
		m.keys = append(m.keys, key...)
		r.Key = m.keys[start:len(m.keys):len(m.keys)]
	}
	return key, nil
}

func (m *making) setValue(r *kgo.Record, i int, msg *service.Message, key string) (err error) {
	if m.encoding == nil {
		if r.Value, err = msg.AsBytes(); err != nil {
			return fmt.Errorf("reading the message: %w", err)
		}
		return nil
	}
	// A message that failed before must not arrive as if it had succeeded.
	if err := msg.GetError(); err != nil {
		return fmt.Errorf("a processor failed on the message: %w", err)
	}
	if r.Value, err = m.encoding.Encode(&m.envelopes, i, msg, key); err != nil {
		return fmt.Errorf("encoding the envelope: %w", err)
	}
	return nil
}

// checkTopic explains why Kafka would refuse the name.
func checkTopic(name string) error {
	const longest = 249
	switch {
	case name == "":
		return errors.New("the topic is empty; Kafka requires 1 to 249 characters")
	case len(name) > longest:
		return fmt.Errorf("the topic %q has %d characters; Kafka allows at most %d", name, len(name), longest)
	case name == "." || name == "..":
		return fmt.Errorf("the topic %q is a name that Kafka reserves", name)
	}
	bad := strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-'
	})
	if bad >= 0 {
		return fmt.Errorf("the topic %q has a character that Kafka does not allow; use a-z, A-Z, 0-9, '.', '_' and '-'", name)
	}
	return nil
}

// recordSize returns the size of the record in a record batch, or slightly more.
func recordSize(r *kgo.Record) int {
	size := 32 + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		size += 10 + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return size
}

// batchOverhead is the header of a record batch.
const batchOverhead = 61
