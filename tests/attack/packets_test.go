//go:build integration

package attack

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

var (
	welcome    = []byte{0x20, 3, 0, 0, 0}    // CONNACK of MQTT 5
	granted    = []byte{0x90, 4, 0, 1, 0, 1} // SUBACK of packet 1
	welcomeOld = []byte{0x20, 2, 0, 0}
)

// packet prefixes a body with a first byte and its length.
func packet(first byte, body ...byte) []byte {
	out := []byte{first}
	for n := len(body); ; {
		b := byte(n % 128)
		if n /= 128; n == 0 {
			out = append(out, b)
			break
		}
		out = append(out, b|0x80)
	}
	return append(out, body...)
}

// publish5 encodes a PUBLISH of MQTT 5 with these properties.
func publish5(first byte, topic string, id int, properties []byte, payload string) []byte {
	body := append([]byte{byte(len(topic) >> 8), byte(len(topic))}, topic...)
	if first&6 != 0 {
		body = append(body, byte(id>>8), byte(id))
	}
	body = append(body, packet(0, properties...)[1:]...)
	return packet(first, append(body, payload...)...)
}

// says is a broker that answers one packet of the client with each of these parts, and
// keeps the connection open.
func says(parts ...[]byte) func(net.Conn) {
	return func(conn net.Conn) {
		for _, part := range parts {
			if _, err := conn.Read(make([]byte, 4096)); err != nil {
				return
			}
			if _, err := conn.Write(part); err != nil {
				return
			}
		}
		silent(conn)
	}
}

func packetAttacks() (all []attack) {
	add := func(name string, serve func(net.Conn)) {
		connector := fmt.Sprintf("packet%d", len(all))
		all = append(all, attack{"MQTT " + name, func(t *testing.T, s *service) {
			address, connections := hostile(t, serve)
			s.with(t, s.definition(connector, "attack/#", connector, fmt.Sprintf(`,"urls":["tcp://%s"],"connect_timeout":"1s","keepalive":2`, address)))
			s.until(t, connector, "reason", func(d admin.Detail) bool {
				return d.State == "Waiting" && connections.Load() > 0 && strings.Contains(d.Reason, address)
			})
			assert.Less(t, connections.Load(), int32(500), "connections: there must be pauses between them")
			assert.Zero(t, s.detail(t, connector).SendSuccessTotal)
		}})
	}
	in := func(wrong []byte) func(net.Conn) { return says(welcome, append(bytes.Clone(granted), wrong...)) }

	// Answers to CONNECT.
	add("that closes at once", func(net.Conn) {})
	add("that never answers", silent)
	add("that answers with HTTP", says([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")))
	add("CONNACK of no bytes", says([]byte{0x20, 0}))
	add("CONNACK of one byte", says([]byte{0x20, 1, 0}))
	add("CONNACK with reserved flags", says([]byte{0x20, 3, 0xfe, 0, 0}))
	add("CONNACK with flags in its type", says([]byte{0x2f, 3, 0, 0, 0}))
	add("CONNACK with an unknown reason", says([]byte{0x20, 3, 0, 0xee, 0}))
	add("CONNACK with a length of 2^28", says([]byte{0x20, 0xff, 0xff, 0xff, 0x7f}))
	add("CONNACK with a length of five bytes", says([]byte{0x20, 0xff, 0xff, 0xff, 0xff, 0x7f}))
	add("CONNACK with properties that are longer than it", says([]byte{0x20, 4, 0, 0, 100, 1}))
	add("CONNACK with a property that does not exist", says(packet(0x20, 0, 0, 2, 0x7e, 1)))
	add("CONNACK with a property twice", says(packet(0x20, 0, 0, 6, 0x21, 0, 1, 0x21, 0, 2)))
	add("CONNACK with a receive maximum of 0", says(packet(0x20, 0, 0, 3, 0x21, 0, 0)))
	add("CONNACK with a maximum QoS of 7", says(packet(0x20, 0, 0, 2, 0x24, 7)))
	add("CONNACK with a reason of invalid UTF-8", says(packet(0x20, 0, 0x87, 5, 0x1f, 0, 2, 0xff, 0xfe)))
	add("CONNACK that sends control characters to the log", says(packet(0x20, append([]byte{0, 0x87, 13, 0x1f, 0, 10}, "\x1b[2J\x1b]0;x\a\n"[:10]...)...)))
	add("CONNACK that refuses every time", says([]byte{0x20, 3, 0, 0x87, 0}))
	add("CONNACK of 10 MB of user properties", says(packet(0x20, append([]byte{0, 0}, packet(0, bytes.Repeat([]byte("\x26\x00\x04aaaa\x00\x04bbbb"), 800_000)...)[1:]...)...)))
	add("PINGRESP for CONNACK", says([]byte{0xd0, 0}))
	add("PUBLISH before CONNACK", says(publish5(0x30, "attack/a", 0, nil, "x")))
	add("AUTH for CONNACK", says(packet(0xf0, 0x18, 0)))
	add("CONNECT for CONNACK", says(packet(0x10, []byte("\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00")...)))
	add("CONNACK a byte at a time, and then silence", func(conn net.Conn) {
		for _, b := range []byte{0x20, 3, 0} {
			_, _ = conn.Write([]byte{b})
			time.Sleep(100 * time.Millisecond)
		}
		silent(conn)
	})

	// Answers to SUBSCRIBE.
	add("SUBACK that never comes", says(welcome))
	add("SUBACK without a reason", says(welcome, []byte{0x90, 3, 0, 1, 0}))
	add("SUBACK with two reasons for one filter", says(welcome, []byte{0x90, 5, 0, 1, 0, 1, 1}))
	add("SUBACK with an unknown reason", says(welcome, []byte{0x90, 4, 0, 1, 0, 0x55}))
	add("SUBACK that refuses", says(welcome, []byte{0x90, 4, 0, 1, 0, 0x87}))
	add("SUBACK of 100,000 reasons", says(welcome, packet(0x90, append([]byte{0, 1, 0}, bytes.Repeat([]byte{1}, 100_000)...)...)))
	add("SUBACK with flags", says(welcome, []byte{0x9f, 4, 0, 1, 0, 1}))
	add("CONNACK twice", says(welcome, welcome))

	// Packets that a session must not contain. The message after them is never
	// delivered.
	never := publish5(0x32, "attack/a", 7, nil, "after")
	for name, wrong := range map[string][]byte{
		"a length of five bytes":                 {0x30, 0xff, 0xff, 0xff, 0xff, 0x01},
		"a packet type of 0":                     {0x00, 0},
		"SUBSCRIBE to a client":                  {0x82, 5, 0, 1, 0, 0, 0},
		"PUBLISH of QoS 3":                       publish5(0x36, "attack/a", 1, nil, "x"),
		"PUBLISH with DUP of QoS 0":              publish5(0x38, "attack/a", 0, nil, "x"),
		"PUBLISH with identifier 0":              publish5(0x32, "attack/a", 0, nil, "x"),
		"PUBLISH without a topic":                publish5(0x32, "", 1, nil, "x"),
		"PUBLISH to a wildcard":                  publish5(0x32, "attack/#", 1, nil, "x"),
		"PUBLISH to invalid UTF-8":               publish5(0x32, "attack/\xff", 1, nil, "x"),
		"PUBLISH to a zero byte":                 publish5(0x32, "attack/\x00", 1, nil, "x"),
		"PUBLISH to a surrogate":                 publish5(0x32, "attack/\xed\xa0\x80", 1, nil, "x"),
		"PUBLISH with a topic beyond its end":    packet(0x32, 0xff, 0xff, 'a'),
		"PUBLISH without an identifier":          packet(0x32, 0, 1, 'a'),
		"PUBLISH with properties beyond its end": packet(0x32, 0, 1, 'a', 0, 1, 0x7f),
		"PUBLISH with an unknown alias":          publish5(0x32, "", 1, []byte{0x23, 0, 9}, "x"),
		"PUBLISH with alias 0":                   publish5(0x32, "attack/a", 1, []byte{0x23, 0, 0}, "x"),
		"PUBLISH with alias 65535":               publish5(0x32, "attack/a", 1, []byte{0x23, 0xff, 0xff}, "x"),
		"PUBLISH with an unknown property":       publish5(0x32, "attack/a", 1, []byte{0x7e, 0}, "x"),
		"PUBLISH with a format twice":            publish5(0x32, "attack/a", 1, []byte{1, 0, 1, 1}, "x"),
		"PUBLISH with a text that is cut":        publish5(0x32, "attack/a", 1, []byte{3, 0xff, 0xff, 'a'}, "x"),
		"PUBLISH with subscription 0":            publish5(0x32, "attack/a", 1, []byte{0x0b, 0}, "x"),
		"PUBREL with flags 0":                    {0x60, 2, 0, 1},
		"PUBREL of one byte":                     {0x62, 1, 0},
		"PUBACK for nothing that we sent, short": {0x40, 1, 0},
		"PINGRESP with a body":                   {0xd0, 2, 0, 0},
		"DISCONNECT with an unknown reason":      {0xe0, 2, 0xee, 0},
		"DISCONNECT: not authorised":             {0xe0, 2, 0x87, 0},
		"DISCONNECT: another took the session":   {0xe0, 2, 0x8e, 0},
		"DISCONNECT to another server":           packet(0xe0, append([]byte{0x9d, 19, 0x1c, 0, 16}, "169.254.169.254:"...)...),
		"UNSUBACK for nothing, short":            {0xb0, 1, 0},
		"AUTH":                                   {0xf0, 2, 0x18, 0},
	} {
		add(name, in(append(bytes.Clone(wrong), never...)))
	}
	add("that speaks 3.1.1 and answers 5", func(conn net.Conn) {
		buffer := make([]byte, 4096)
		if n, err := conn.Read(buffer); err == nil && n > 8 && buffer[8] == 5 {
			_, _ = conn.Write([]byte{0x20, 2, 0, 1})
			return
		}
		_, _ = conn.Write(append(welcomeOld, 0x20, 3, 0, 0, 0))
		silent(conn)
	})
	return all
}

// endlessAttacks are brokers that send without end. They cost little and do not affect
// other connectors.
func endlessAttacks() (all []attack) {
	endless := func(name string, first []byte, again []byte) {
		connector := fmt.Sprintf("endless%d", len(all))
		all = append(all, attack{"MQTT " + name, func(t *testing.T, s *service) {
			address, connections := hostile(t, func(conn net.Conn) {
				go says(welcome, first)(conn)
				time.Sleep(100 * time.Millisecond)
				for {
					if _, err := conn.Write(again); err != nil {
						return
					}
					time.Sleep(2 * time.Millisecond)
				}
			})
			s.with(t, s.definition(connector, "attack/#", connector, fmt.Sprintf(`,"urls":["tcp://%s"],"connect_timeout":"1s","keepalive":2`, address)))
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				assert.NotEqual(t, "Failed", s.detail(t, connector).State)
			}
			assert.Positive(t, connections.Load())
			assert.Less(t, connections.Load(), int32(100), "connections: there must be pauses between them")
		}})
	}
	endless("PINGRESP without end", granted, bytes.Repeat([]byte{0xd0, 0}, 1000))
	endless("a packet without end", append(bytes.Clone(granted), 0x30, 0xff, 0xff, 0xff, 0x7f, 0, 8, 'a', 't', 't', 'a', 'c', 'k', '/', 'a', 0), make([]byte, 64<<10))
	endless("PUBREL for nothing without end", granted, bytes.Repeat([]byte{0x62, 2, 0, 9}, 500))
	endless("the same message without end", granted, publish5(0x32, "attack/a", 5, nil, strings.Repeat("x", 1000)))
	endless("PUBACK for nothing without end", granted, bytes.Repeat([]byte{0x40, 2, 0, 9}, 500))
	endless("messages of 5,000 user properties without end", granted, publish5(0x30, "attack/a", 0, bytes.Repeat([]byte("\x26\x00\x04aaaa\x00\x04bbbb"), 5_000), "x"))
	endless("topics of 60,000 bytes without end", granted, publish5(0x30, "attack/"+strings.Repeat("t", 60_000), 0, nil, "x"))
	return all
}
