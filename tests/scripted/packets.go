package scripted

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	packets5 "github.com/eclipse/paho.golang/packets"
)

const (
	typeConnect    = 1
	typePublish    = 3
	typePuback     = 4
	typePubrec     = 5
	typePubrel     = 6
	typePubcomp    = 7
	typeSubscribe  = 8
	typePingreq    = 12
	typeDisconnect = 14
)

// frame is a received packet.
type frame struct {
	first byte
	body  []byte
}

func readFrame(r *bufio.Reader) (frame, error) {
	first, err := r.ReadByte()
	if err != nil {
		return frame{}, err
	}
	length, err := binary.ReadUvarint(r)
	if err != nil {
		return frame{}, err
	}
	if length > 1<<28-1 {
		return frame{}, errors.New("a packet length of more than 4 bytes")
	}
	f := frame{first, make([]byte, length)}
	_, err = io.ReadFull(r, f.body)
	return f, err
}

func encode(first byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// hello is the content of a CONNECT.
type hello struct {
	v5             bool
	clean          bool
	keeps          bool // the session outlives the connection
	receiveMaximum int
}

func parseConnect(f frame) (hello, error) {
	if f.first != typeConnect<<4 || len(f.body) < 10 {
		return hello{}, fmt.Errorf("want a CONNECT, got %02x %x", f.first, f.body)
	}
	if f.body[6] == 4 {
		clean := f.body[7]&2 != 0
		return hello{clean: clean, keeps: !clean, receiveMaximum: 65535}, nil
	}
	p := packets5.Connect{Properties: &packets5.Properties{}}
	if err := p.Unpack(bytes.NewBuffer(f.body)); err != nil {
		return hello{}, err
	}
	h := hello{v5: true, clean: p.CleanStart, receiveMaximum: 65535}
	if e := p.Properties.SessionExpiryInterval; e != nil {
		h.keeps = *e > 0
	}
	if m := p.Properties.ReceiveMaximum; m != nil {
		h.receiveMaximum = int(*m)
	}
	return h, nil
}

// filter is a requested topic filter.
type filter struct {
	name string
	qos  byte
}

func parseSubscribe(f frame, v5 bool) (id uint16, filters []filter, err error) {
	if f.first != typeSubscribe<<4|2 {
		return 0, nil, fmt.Errorf("a SUBSCRIBE with the first byte %02x", f.first)
	}
	if v5 {
		p := packets5.Subscribe{Properties: &packets5.Properties{}}
		err = p.Unpack(bytes.NewBuffer(f.body))
		for _, s := range p.Subscriptions {
			filters = append(filters, filter{s.Topic, s.QoS})
		}
		id = p.PacketID
	} else {
		id, filters, err = parseOldSubscribe(f.body)
	}
	if err == nil && len(filters) == 0 {
		err = errors.New("a SUBSCRIBE without filters")
	}
	return id, filters, err
}

func parseOldSubscribe(body []byte) (id uint16, filters []filter, err error) {
	short := fmt.Errorf("a SUBSCRIBE that ends too early: %x", body)
	if len(body) < 2 {
		return 0, nil, short
	}
	id = binary.BigEndian.Uint16(body)
	for rest := body[2:]; len(rest) > 0; {
		if len(rest) < 2 {
			return 0, nil, short
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		if len(rest) <= n {
			return 0, nil, short
		}
		filters = append(filters, filter{string(rest[2:n]), rest[n]})
		rest = rest[n+1:]
	}
	return id, filters, nil
}

// parseAck reads a packet that answers a message. Our client sends them without a
// reason, or with the reason 0.
func parseAck(f frame) (id uint16, err error) {
	want := f.first >> 4 << 4
	if f.first != want || len(f.body) < 2 || len(f.body) > 2 && f.body[2] != 0 {
		return 0, fmt.Errorf("the acknowledgement %02x %x", f.first, f.body)
	}
	return binary.BigEndian.Uint16(f.body), nil
}

func encodePublish(m *Message, qos byte, id uint16, dup, v5 bool) []byte {
	first := byte(typePublish<<4) | qos<<1
	if dup && qos > 0 {
		first |= 8
	}
	if m.Retain {
		first |= 1
	}
	body := text(m.Topic)
	if qos > 0 {
		body = append(body, u16(id)...)
	}
	if v5 {
		body = append(binary.AppendUvarint(body, uint64(len(m.Properties))), m.Properties...)
	}
	return encode(first, body, []byte(m.Payload))
}

// matches reports whether a filter matches a topic.
func matches(filter, topic string) bool {
	wanted, levels := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, w := range wanted {
		if w == "#" {
			return true
		}
		if i == len(levels) || w != "+" && w != levels[i] {
			return false
		}
	}
	return len(wanted) == len(levels)
}
