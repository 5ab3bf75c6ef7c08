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

// appendProperties appends the MQTT 5 properties of the message as header entries:
// first those with a fixed name, then the user properties.
func appendProperties(header []Header, msg *service.Message) ([]Header, error) {
	if v, ok := metaText(msg, MetaContentType); ok {
		header = append(header, Header{headerContentType, v})
	}
	if v, ok := metaText(msg, MetaResponseTopic); ok {
		header = append(header, Header{headerResponseTopic, v})
	}
	if v, ok := metaText(msg, MetaCorrelationData); ok {
		header = append(header, Header{headerCorrelationData, base64.StdEncoding.EncodeToString([]byte(v))})
	}
	n, ok, err := metaInt(msg, MetaPayloadFormatIndicator, 0, 1)
	if err != nil {
		return nil, err
	} else if ok {
		header = append(header, Header{headerPayloadFormatIndicator, strconv.FormatInt(n, 10)})
	}
	n, ok, err = metaInt(msg, MetaMessageExpiryInterval, 0, math.MaxUint32)
	if err != nil {
		return nil, err
	} else if ok {
		header = append(header, Header{headerMessageExpiryInterval, strconv.FormatInt(n, 10)})
	}
	return appendUserProperties(header, msg)
}

// setProperties reverses appendProperties; it removes the properties that the header
// does not have.
//
// A user property may have one of the five names. So an entry counts as the property of
// that name only where the encoder would have written it: before every user property,
// in the order of the five, with a valid value. Every other entry is a user property.
// In all cases, encoding again results in the same header.
func setProperties(msg *service.Message, header []Header) {
	for _, p := range properties {
		var value any
		if len(header) > 0 && header[0].Key == p.name {
			value = p.parse(header[0].Value)
		}
		if value == nil {
			msg.MetaDelete(p.meta)
			continue
		}
		msg.MetaSetMut(p.meta, value)
		header = header[1:]
	}
	if len(header) == 0 {
		msg.MetaDelete(MetaUserProperties)
		return
	}
	list := make([]any, len(header))
	for i, h := range header {
		list[i] = map[string]any{"key": h.Key, "value": h.Value}
	}
	msg.MetaSetMut(MetaUserProperties, list)
}

// properties are the header names that are not user properties, in order. parse returns
// nil for a value that the encoder would not have written.
var properties = []struct {
	name, meta string
	parse      func(string) any
}{
	{headerContentType, MetaContentType, func(s string) any { return s }},
	{headerResponseTopic, MetaResponseTopic, func(s string) any { return s }},
	{headerCorrelationData, MetaCorrelationData, func(s string) any {
		raw, err := base64.StdEncoding.DecodeString(s)
		if err != nil || base64.StdEncoding.EncodeToString(raw) != s {
			return nil
		}
		return string(raw)
	}},
	{headerPayloadFormatIndicator, MetaPayloadFormatIndicator, parseProperty(1)},
	{headerMessageExpiryInterval, MetaMessageExpiryInterval, parseProperty(math.MaxUint32)},
}

func parseProperty(limit uint64) func(string) any {
	return func(s string) any {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n > limit || strconv.FormatUint(n, 10) != s {
			return nil
		}
		return int(n)
	}
}

// quote formats a wrong value for an error.
func quote(s string) string {
	return strconv.Quote(clip(s))
}
