//go:build integration

package attack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// silent reads and never answers.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// answering reads one request after another and replies with the result of answer. The
// request passed to it starts after its length.
func answering(answer func(request []byte) []byte) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			var length [4]byte
			if _, err := io.ReadFull(conn, length[:]); err != nil {
				return
			}
			request := make([]byte, min(binary.BigEndian.Uint32(length[:]), 1<<20))
			if _, err := io.ReadFull(conn, request); err != nil {
				return
			}
			if _, err := conn.Write(answer(request)); err != nil {
				return
			}
		}
	}
}

// response adds the length and the correlation id of a Kafka response to a body.
func response(request, body []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	return append(append(out, request[4:8]...), body...)
}

// advertising answers metadata requests with a broker at this address.
func advertising(host string, port int) func(net.Conn) {
	return answering(func(request []byte) []byte {
		if binary.BigEndian.Uint16(request) == 18 {
			// ApiVersions v0: no error, and only metadata v1.
			return response(request, []byte{0, 0, 0, 0, 0, 1, 0, 3, 0, 1, 0, 1})
		}
		body := binary.BigEndian.AppendUint32(nil, 1) // one broker
		body = binary.BigEndian.AppendUint32(body, 1)
		body = binary.BigEndian.AppendUint16(body, uint16(len(host)))
		body = append(body, host...)
		body = binary.BigEndian.AppendUint32(body, uint32(port))
		body = append(body, 0xff, 0xff)                   // no rack
		body = binary.BigEndian.AppendUint32(body, 1)     // the controller
		body = binary.BigEndian.AppendUint32(body, 1)     // one topic
		body = append(body, 0, 0, 0, 1, 'x', 0)           // x, without an error
		body = binary.BigEndian.AppendUint32(body, 1)     // of one partition
		body = append(body, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) // 0, led by broker 1
		return response(request, append(body, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1))
	})
}

func kafkaAttacks() (all []attack) {
	add := func(name string, serve func(net.Conn)) {
		connector := fmt.Sprintf("kafka%d", len(all))
		all = append(all, attack{"Kafka " + name, func(t *testing.T, s *service) {
			address, connections := hostile(t, serve)
			s.with(t, s.definitionTo(connector, "attack/"+connector, fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"x"}`, address)))
			publisher := s.publisher(t)
			for range 20 {
				publisher.Publish("attack/"+connector, 1, false, "x")
			}
			s.until(t, connector, "reason", func(d admin.Detail) bool {
				return d.State == "Waiting" && connections.Load() > 0 && strings.Contains(strings.ToLower(d.Reason), "kafka")
			})
			assert.Less(t, connections.Load(), int32(500), "connections: there must be pauses between them")
		}})
	}
	add("that closes at once", func(net.Conn) {})
	add("that never answers", silent)
	add("that answers with HTTP", func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
	})
	add("that answers with 2 GB", answering(func([]byte) []byte { return []byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0} }))
	add("that answers with a negative length", answering(func([]byte) []byte { return []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0} }))
	add("that answers with 90 MB of zeros", answering(func([]byte) []byte { return append([]byte{5, 0x60, 0, 0}, make([]byte, 90<<20)...) }))
	add("that answers another request", answering(func([]byte) []byte { return []byte{0, 0, 0, 8, 9, 9, 9, 9, 0, 0, 0, 0} }))
	add("that answers with nothing", answering(func(request []byte) []byte { return response(request, nil) }))
	add("that answers with arrays of 2^31", answering(func(request []byte) []byte {
		return response(request, []byte{0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	}))
	add("that answers with noise", answering(func(request []byte) []byte { return response(request, bytes.Repeat([]byte{0xa5, 0x5a, 1}, 1000)) }))
	add("that supports nothing", answering(func(request []byte) []byte { return response(request, []byte{0, 0, 0, 0, 0, 0}) }))
	add("that answers an error that does not exist", answering(func(request []byte) []byte { return response(request, []byte{0x7f, 0x7f, 0, 0, 0, 0}) }))
	add("that answers a byte a second", func(conn net.Conn) {
		for {
			if _, err := conn.Write([]byte{0}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	})
	add("that talks first, without end", func(conn net.Conn) {
		for noise := bytes.Repeat([]byte{0, 0, 0, 0}, 16_000); ; {
			if _, err := conn.Write(noise); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	add("that advertises an address that is not allowed", advertising(trapAddress, 9092))
	add("that advertises the metadata address", advertising("169.254.169.254", 80))
	add("that advertises a name that does not exist", advertising("nowhere.invalid", 9092))
	add("that advertises a name of 30,000 bytes", advertising(strings.Repeat("a", 30_000), 9092))
	add("that advertises a port that does not exist", advertising(hostileAddress, -1))
	return all
}
