package envelope

import (
	"bytes"
	"math"
)

// record reads what members has found of a storage record.
func (d *decoder) record() (*Record, error) {
	for _, part := range []struct {
		name string
		has  bool
	}{{"metadata", d.metadataAt > 0}, {"protocol_data", d.protocolAt > 0}, {"data", d.data.set}} {
		if !part.has {
			return nil, &DecodeError{part.name, d.pos, "is not in the record; want a storage record of RobustMQ, or another format"}
		}
	}
	r := &Record{Payload: d.data.value}
	var expireAt int64
	end := d.pos
	defer func() { d.pos = end }()

	d.field, d.pos = "metadata", d.metadataAt
	err := d.names(func(name string) (known bool, err error) {
		switch name {
		case "create_t":
			r.CreateTime, err = d.integer(0, maxCreateTime)
		case "expire_at":
			expireAt, err = d.integer(0, math.MaxInt64)
		case "crc_num":
			err = d.checksum()
		case "key":
			d.field, d.sub = "metadata.key", ""
			var key blob
			key, err = d.blob(&blob{})
			r.Key = string(key.value)
		case "tags":
			d.field, d.sub = "metadata.tags", ""
			r.Tags, err = d.strings()
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if err := d.protocol(r); err != nil {
		return nil, err
	}
	p := &r.properties
	if n := expireAt - r.CreateTime; n > 0 && n <= math.MaxUint32 && n != defaultExpiry {
		p.expiry = n
		p.has |= hasExpiry
	}
	return r, nil
}

// protocol reads what the protocol by which the message came has told.
func (d *decoder) protocol(r *Record) error {
	at := d.protocolAt
	d.field, d.pos = "protocol_data", at
	found, other := false, ""
	if !d.null() {
		err := d.names(func(name string) (bool, error) {
			switch name {
			case "mqtt":
				found = true
				d.field, d.sub = "protocol_data.mqtt", ""
				return true, d.mqtt(r)
			case "nats", "mq9", "amqp":
				other = name
			}
			return false, nil
		})
		if err != nil {
			return err
		}
	}
	d.field, d.sub = "protocol_data", ""
	switch {
	case found:
		return nil
	case other != "":
		return d.fail(at, "the message came by %s; want one that came by mqtt", other)
	}
	return d.fail(at, "has no mqtt; want a message that came by MQTT")
}

func (d *decoder) mqtt(r *Record) error {
	p := &r.properties
	return d.names(func(name string) (known bool, err error) {
		switch name {
		case "client_id":
			r.ClientID, err = d.str()
		case "retain":
			r.Retain, err = d.boolean()
		case "format_indicator":
			p.has |= hasFormatIndicator
			p.formatIndicator, err = d.integer(0, 1)
		case "response_topic":
			p.has |= hasResponseTopic
			p.responseTopic, err = d.str()
		case "correlation_data":
			p.has |= hasCorrelationData
			d.field, d.sub = "protocol_data.mqtt.correlation_data", ""
			var data blob
			data, err = d.blob(&blob{})
			p.correlationData = string(data.value)
		case "content_type":
			p.has |= hasContentType
			p.contentType, err = d.str()
		case "user_properties":
			d.field, d.sub = "protocol_data.mqtt.user_properties", ""
			p.user, err = d.pairs()
		default:
			return false, nil
		}
		return true, err
	})
}

// names reads an object whose names come once each. A null counts as a name left
// out, and a name that is not known is skipped.
func (d *decoder) names(read func(name string) (known bool, err error)) error {
	var seen [16]string
	n := 0
	return d.object(func(name []byte, nameAt int) error {
		text := string(name)
		d.sub = clip(text)
		for _, other := range seen[:n] {
			if other == text {
				return d.fail(nameAt, "comes a second time; want it once")
			}
		}
		if d.null() {
			return nil
		}
		known, err := read(text)
		if err != nil {
			return err
		}
		if !known {
			return d.skip(0)
		}
		seen[n] = text // no object has more names that are known
		n++
		return nil
	})
}

// pairs reads an array of arrays of two strings.
func (s *scanner) pairs() ([]Header, error) {
	list := []Header{}
	err := s.array(func(i int) error {
		s.index = i
		at := s.pos
		var pair [2]string
		n := 0
		err := s.array(func(j int) (err error) {
			s.index = i
			var text string
			if text, err = s.str(); err == nil && j < len(pair) {
				pair[j] = text
			}
			n++
			return err
		})
		s.index = i
		if err == nil && n != len(pair) {
			err = s.fail(at, "want an array of two strings, a name and a value, got %d", n)
		}
		list = append(list, Header{pair[0], pair[1]})
		return err
	})
	return list, err
}

// bytes reads an array of the numbers 0 to 255. What RobustMQ writes has no white
// space, which is read fast; anything else is left to array.
func (s *scanner) bytes() ([]byte, error) {
	start := s.pos
	if end := bytes.IndexByte(s.data[s.pos:], ']'); end > 1 {
		value := make([]byte, 0, 1+bytes.Count(s.data[s.pos:s.pos+end], []byte{','}))
		if value, ok := s.compactBytes(value); ok {
			return value, nil
		}
		s.pos = start
	}
	value := []byte{}
	err := s.array(func(i int) error {
		s.index = i
		n, err := s.integer(0, math.MaxUint8)
		value = append(value, byte(n))
		return err
	})
	return value, err
}

func (s *scanner) compactBytes(value []byte) ([]byte, bool) {
	for s.pos++; ; s.pos++ {
		at, n := s.pos, 0
		for c := s.peek() - '0'; c <= 9; c = s.peek() - '0' {
			n = 10*n + int(c)
			if s.pos++; s.pos-at > 3 {
				return nil, false
			}
		}
		if s.pos == at || n > math.MaxUint8 || s.data[at] == '0' && s.pos-at > 1 {
			return nil, false
		}
		value = append(value, byte(n))
		switch s.peek() {
		case ']':
			s.pos++
			return value, true
		case ',':
		default:
			return nil, false
		}
	}
}
