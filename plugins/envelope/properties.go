package envelope

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"
)

// meta returns a metadata value, which must not be changed; nil counts as missing.
func meta(msg *service.Message, key string) (any, bool) {
	v, ok := msg.MetaGetImmut(key)
	switch t := v.(type) {
	case nil:
		return nil, false
	case service.ImmutableAny:
		v = t.V
	case service.ImmutableValue:
		v = t.Copy()
	}
	return v, ok && v != nil
}

// metaText returns a metadata value of any type as text.
func metaText(msg *service.Message, key string) (string, bool) {
	v, ok := meta(msg, key)
	if !ok {
		return "", false
	}
	return text(v), true
}

func text(v any) string {
	switch t := v.(type) {
	case string:
		return t
	case []byte:
		return string(t)
	}
	return bloblang.ValueToString(v)
}

// metaInt returns a metadata value as a whole number. An empty string counts as
// missing: a Kafka header without a value becomes one.
func metaInt(msg *service.Message, key string, lo, hi int64) (n int64, ok bool, err error) {
	v, ok := meta(msg, key)
	if !ok {
		return 0, false, nil
	}
	switch t := v.(type) {
	case int:
		n = int64(t)
	case int64:
		n = t
	case string, []byte, json.Number:
		s := text(v)
		if s == "" {
			return 0, false, nil
		}
		n, err = strconv.ParseInt(s, 10, 64)
	case bool:
		if t {
			n = 1
		}
	default:
		n, err = bloblang.ValueAsInt64(v)
	}
	if err != nil || n < lo || n > hi {
		return 0, false, fmt.Errorf("reading metadata %s: want %s, got %s", key, wantInteger(lo, hi), quote(text(v)))
	}
	return n, true, nil
}

// metaBool returns a metadata value as a bool, false if it is missing.
func metaBool(msg *service.Message, key string) (bool, error) {
	v, ok := meta(msg, key)
	if !ok {
		return false, nil
	}
	if b, isBool := v.(bool); isBool {
		return b, nil
	}
	switch s := text(v); s {
	case "true", "1":
		return true, nil
	case "false", "0", "":
		return false, nil
	default:
		return false, fmt.Errorf("reading metadata %s: want true or false, got %s", key, quote(s))
	}
}

// appendUserProperties appends the user properties of the message. It also accepts the
// list as JSON text, which is its form in a Kafka header.
func appendUserProperties(header []Header, msg *service.Message) ([]Header, error) {
	v, ok := meta(msg, MetaUserProperties)
	if !ok {
		return header, nil
	}
	switch t := v.(type) {
	case []any:
		for i, item := range t {
			property, ok := item.(map[string]any)
			if !ok || property["key"] == nil || property["value"] == nil {
				return nil, fmt.Errorf(`reading metadata %s: want an object with "key" and "value" at index %d, got %s`,
					MetaUserProperties, i, quote(text(item)))
			}
			header = append(header, Header{Key: text(property["key"]), Value: text(property["value"])})
		}
		return header, nil
	case string, []byte:
		s := text(v)
		if s == "" {
			return header, nil
		}
		list, err := parseHeader(s)
		if err != nil {
			return nil, fmt.Errorf("reading metadata %s: %w", MetaUserProperties, err)
		}
		return append(header, list...), nil
	}
	return nil, fmt.Errorf(`reading metadata %s: want a list of objects with "key" and "value", got %s`,
		MetaUserProperties, quote(text(v)))
}

// properties are the MQTT 5 properties of a PUBLISH.
type properties struct {
	contentType, responseTopic string
	correlationData            string // raw bytes
	formatIndicator            int64
	expiry                     int64 // seconds
	has                        int   // which of the above there are, as bits
	user                       []Header
}

const (
	hasContentType = 1 << iota
	hasResponseTopic
	hasCorrelationData
	hasFormatIndicator
	hasExpiry
)

// propertiesOf reads the properties of a message from its metadata. The user
// properties are appended to those given.
func propertiesOf(msg *service.Message, user []Header) (p properties, err error) {
	p.user = user
	var ok bool
	if p.contentType, ok = metaText(msg, MetaContentType); ok {
		p.has |= hasContentType
	}
	if p.responseTopic, ok = metaText(msg, MetaResponseTopic); ok {
		p.has |= hasResponseTopic
	}
	if p.correlationData, ok = metaText(msg, MetaCorrelationData); ok {
		p.has |= hasCorrelationData
	}
	if p.formatIndicator, ok, err = metaInt(msg, MetaPayloadFormatIndicator, 0, 1); err != nil {
		return p, err
	} else if ok {
		p.has |= hasFormatIndicator
	}
	if p.expiry, ok, err = metaInt(msg, MetaMessageExpiryInterval, 0, math.MaxUint32); err != nil {
		return p, err
	} else if ok {
		p.has |= hasExpiry
	}
	p.user, err = appendUserProperties(p.user, msg)
	return p, err
}

// appendTo appends the properties as entries of an envelope's header: those with a
// name of their own first, then the user properties.
func (p *properties) appendTo(header []Header) []Header {
	if p.has&hasContentType != 0 {
		header = append(header, Header{headerContentType, p.contentType})
	}
	if p.has&hasResponseTopic != 0 {
		header = append(header, Header{headerResponseTopic, p.responseTopic})
	}
	if p.has&hasCorrelationData != 0 {
		header = append(header, Header{headerCorrelationData, base64.StdEncoding.EncodeToString([]byte(p.correlationData))})
	}
	if p.has&hasFormatIndicator != 0 {
		header = append(header, Header{headerPayloadFormatIndicator, strconv.FormatInt(p.formatIndicator, 10)})
	}
	if p.has&hasExpiry != 0 {
		header = append(header, Header{headerMessageExpiryInterval, strconv.FormatInt(p.expiry, 10)})
	}
	return append(header, p.user...)
}

// set makes the properties the metadata of a message, and removes those that it had.
func (p *properties) set(msg *service.Message) {
	for _, v := range []struct {
		bit   int
		key   string
		value any
	}{
		{hasContentType, MetaContentType, p.contentType},
		{hasResponseTopic, MetaResponseTopic, p.responseTopic},
		{hasCorrelationData, MetaCorrelationData, p.correlationData},
		{hasFormatIndicator, MetaPayloadFormatIndicator, int(p.formatIndicator)},
		{hasExpiry, MetaMessageExpiryInterval, int(p.expiry)},
	} {
		if p.has&v.bit != 0 {
			msg.MetaSetMut(v.key, v.value)
		} else {
			msg.MetaDelete(v.key)
		}
	}
	setUserProperties(msg, p.user)
}

// splitHeader is the way back from the header of an envelope to properties.
//
// A user property may have one of the five names. So an entry counts as the property of
// that name only where the encoder would have written it: before every user property,
// in the order of the five, with a valid value. Every other entry is a user property.
// In all cases, encoding again results in the same header.
func splitHeader(header []Header) (p properties) {
	for _, known := range headerProperties {
		if len(header) > 0 && header[0].Key == known.name && known.parse(&p, header[0].Value) {
			p.has |= known.bit
			header = header[1:]
		}
	}
	p.user = header
	return p
}

// headerProperties are the entries of a header that are not user properties, in
// order. parse refuses a value that the encoder would not have written.
var headerProperties = []struct {
	name  string
	bit   int
	parse func(p *properties, s string) bool
}{
	{headerContentType, hasContentType, func(p *properties, s string) bool { p.contentType = s; return true }},
	{headerResponseTopic, hasResponseTopic, func(p *properties, s string) bool { p.responseTopic = s; return true }},
	{headerCorrelationData, hasCorrelationData, func(p *properties, s string) bool {
		raw, ok := canonicalBase64(s)
		p.correlationData = raw
		return ok
	}},
	{headerPayloadFormatIndicator, hasFormatIndicator, func(p *properties, s string) bool { return canonicalInt(s, 1, &p.formatIndicator) }},
	{headerMessageExpiryInterval, hasExpiry, func(p *properties, s string) bool { return canonicalInt(s, math.MaxUint32, &p.expiry) }},
}

func canonicalInt(s string, limit int64, into *int64) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > limit || strconv.FormatInt(n, 10) != s {
		return false
	}
	*into = n
	return true
}

// setUserProperties makes the list the user properties of the message.
func setUserProperties(msg *service.Message, user []Header) {
	if len(user) == 0 {
		msg.MetaDelete(MetaUserProperties)
		return
	}
	list := make([]any, len(user))
	for i, h := range user {
		list[i] = map[string]any{"key": h.Key, "value": h.Value}
	}
	msg.MetaSetMut(MetaUserProperties, list)
}

// canonicalBase64 decodes what the encoder would have written.
func canonicalBase64(s string) (string, bool) {
	raw, err := base64.StdEncoding.DecodeString(s)
	return string(raw), err == nil && base64.StdEncoding.EncodeToString(raw) == s
}

// quote formats a wrong value for an error.
func quote(s string) string {
	return strconv.Quote(clip(s))
}
