package supervisor

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"
)

// honestBroker is an MQTT 3.1.1 broker that loses no message of QoS 1 when clients
// connect or disconnect, so a test may count all of them. It has many sessions, and an
// option for the queue of an unsubscribed filter.
type honestBroker struct {
	t  testing.TB
	ln net.Listener
	wg sync.WaitGroup
	// dropsAtUnsubscribe: UNSUBSCRIBE drops the queue of the filter, as with Artemis
	// and NATS.
	dropsAtUnsubscribe bool
	// pace is the minimum time between two messages of a session.
	pace time.Duration

	mu       sync.Mutex
	conns    map[net.Conn]bool
	sessions map[string]*honestSession
	dropped  []string // payloads that nobody has acknowledged, and that are gone
}

type honestSession struct {
	filters []string
	waiting []*honestMessage
	conn    net.Conn // nil while nobody has it
	lastID  uint16
	sending chan struct{} // one slot: there may be something to send
}

// honestMessage is a message in the queue of a session.
type honestMessage struct {
	filter, topic, payload string
	id                     uint16
	on                     net.Conn // where it was sent last
}

func newHonestBroker(t testing.TB) *honestBroker {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &honestBroker{t: t, ln: ln, conns: map[net.Conn]bool{}, sessions: map[string]*honestSession{}}
	b.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns[c] = true
			b.mu.Unlock()
			b.wg.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		b.mu.Lock()
		for c := range b.conns {
			c.Close()
		}
		b.mu.Unlock()
		b.wg.Wait()
	})
	return b
}

func (b *honestBroker) url() string { return "tcp://" + b.ln.Addr().String() }

// publish adds a message to every session with a matching filter: once, or once for
// each filter if each has a queue.
func (b *honestBroker) publish(topic string, payloads ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, payload := range payloads {
		for _, s := range b.sessions {
			for _, f := range s.filters {
				if !filterMatches(f, topic) {
					continue
				}
				s.waiting = append(s.waiting, &honestMessage{filter: f, topic: topic, payload: payload})
				if !b.dropsAtUnsubscribe {
					break
				}
			}
			s.wake()
		}
	}
}

// filters returns the filters of a session, nil if it does not exist.
func (b *honestBroker) filters(clientID string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sessions[clientID]; s != nil {
		return slices.Clone(s.filters)
	}
	return nil
}

// waiting returns how many messages of a session are not acknowledged.
func (b *honestBroker) waiting(clientID string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sessions[clientID]; s != nil {
		return len(s.waiting)
	}
	return 0
}

// lost returns the payloads that were dropped without an acknowledgement.
func (b *honestBroker) lost() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dropped)
}

func filterMatches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, level := range f {
		if level == "#" {
			return true
		}
		if i >= len(t) || level != "+" && level != t[i] {
			return false
		}
	}
	return len(f) == len(t)
}

func (s *honestSession) wake() {
	select {
	case s.sending <- struct{}{}:
	default:
	}
}

func (b *honestBroker) serve(c net.Conn) {
	defer func() {
		c.Close()
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
	raw, err := readConnect(c)
	if err != nil {
		return
	}
	if protocolOf(raw) != 4 {
		_, _ = c.Write([]byte{0x20, 2, 0, 1}) // the client falls back
		return
	}
	first, err := packets.ReadPacket(bytes.NewReader(raw))
	if err != nil {
		return
	}
	connect, ok := first.(*packets.ConnectPacket)
	if !ok {
		return
	}
	s := b.join(c, connect)
	var out sync.Mutex // of what is written to c
	write := func(p packets.ControlPacket) bool {
		out.Lock()
		defer out.Unlock()
		return p.Write(c) == nil
	}
	gone := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() { b.send(c, s, write, gone) })
	defer sending.Wait()
	defer close(gone)
	b.read(c, s, write)
	b.leave(c, s, connect)
}

// readConnect reads the bytes of the first packet, in any version.
func readConnect(c net.Conn) ([]byte, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	length, one := int(head[1]&0x7f), make([]byte, 1)
	for shift := 7; head[len(head)-1]&0x80 != 0; shift += 7 {
		if _, err := io.ReadFull(c, one); err != nil {
			return nil, err
		}
		head = append(head, one[0])
		length |= int(one[0]&0x7f) << shift
	}
	body := make([]byte, length)
	_, err := io.ReadFull(c, body)
	return append(head, body...), err
}

func protocolOf(connect []byte) byte {
	at := bytes.Index(connect, []byte("MQTT"))
	if at < 0 || at+4 >= len(connect) {
		return 0
	}
	return connect[at+4]
}

func (b *honestBroker) join(c net.Conn, connect *packets.ConnectPacket) *honestSession {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sessions[connect.ClientIdentifier]
	if s != nil && s.conn != nil {
		s.conn.Close()
	}
	answer := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	if connect.CleanSession && s != nil {
		b.dropLocked(s.waiting)
		s = nil
	}
	answer.SessionPresent = s != nil
	if s == nil {
		s = &honestSession{sending: make(chan struct{}, 1)}
		b.sessions[connect.ClientIdentifier] = s
	}
	s.conn = c
	_ = answer.Write(c) // under the mutex, so that nothing goes before it
	s.wake()
	return s
}

func (b *honestBroker) leave(c net.Conn, s *honestSession, connect *packets.ConnectPacket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.conn != c {
		return
	}
	s.conn = nil
	if connect.CleanSession {
		b.dropLocked(s.waiting)
		delete(b.sessions, connect.ClientIdentifier)
	}
}

func (b *honestBroker) dropLocked(all []*honestMessage) {
	for _, m := range all {
		b.dropped = append(b.dropped, m.payload)
	}
}

func (b *honestBroker) send(c net.Conn, s *honestSession, write func(packets.ControlPacket) bool, gone chan struct{}) {
	for {
		b.mu.Lock()
		var next *packets.PublishPacket
		for _, m := range s.waiting {
			if m.on == c || s.conn != c {
				continue
			}
			next = packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			if next.Dup = m.id != 0; !next.Dup {
				s.lastID++
				m.id = s.lastID
			}
			m.on = c
			next.Qos, next.MessageID, next.TopicName, next.Payload = 1, m.id, m.topic, []byte(m.payload)
			break
		}
		b.mu.Unlock()
		if next != nil {
			if !write(next) {
				return
			}
			time.Sleep(b.pace)
			continue
		}
		select {
		case <-s.sending:
		case <-gone:
			s.wake() // for who has the session now
			return
		}
	}
}

func (b *honestBroker) read(c net.Conn, s *honestSession, write func(packets.ControlPacket) bool) {
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packets.SubscribePacket:
			b.mu.Lock()
			for _, f := range p.Topics {
				if !slices.Contains(s.filters, f) {
					s.filters = append(s.filters, f)
				}
			}
			b.mu.Unlock()
			answer := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			answer.MessageID, answer.ReturnCodes = p.MessageID, bytes.Repeat([]byte{1}, len(p.Topics))
			write(answer)
		case *packets.UnsubscribePacket:
			b.mu.Lock()
			ended := func(filter string) bool { return slices.Contains(p.Topics, filter) }
			s.filters = slices.DeleteFunc(s.filters, ended)
			if b.dropsAtUnsubscribe {
				s.waiting = slices.DeleteFunc(s.waiting, func(m *honestMessage) bool {
					if ended(m.filter) {
						b.dropped = append(b.dropped, m.payload)
					}
					return ended(m.filter)
				})
			}
			b.mu.Unlock()
			answer := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
			answer.MessageID = p.MessageID
			write(answer)
		case *packets.PubackPacket:
			b.mu.Lock()
			s.waiting = slices.DeleteFunc(s.waiting, func(m *honestMessage) bool { return m.id == p.MessageID })
			b.mu.Unlock()
		case *packets.PingreqPacket:
			write(packets.NewControlPacket(packets.Pingresp))
		case *packets.DisconnectPacket:
			return
		}
	}
}
