// Package sink is an MQTT broker for tests and measurements of clients that only publish.
// It acknowledges at once, counts, keeps the session of one client in memory, and can end
// connections after a number of bytes. It speaks MQTT 3.1.1 and 5.
package sink

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// Options configure a sink.
type Options struct {
	// Cuts are where the connections end, in order. Later ones do not end.
	Cuts []Cut
	// ReceiveMaximum is how many messages of QoS 1 and 2 an MQTT 5 client may have in
	// flight. 0 stands for 65535.
	ReceiveMaximum uint16
	// Keep makes Messages return what was published.
	Keep bool
	// Expel reports whether the connection ends when a message arrives, in place of an
	// answer, and with which reason code an MQTT 5 client is told so, 0 for none. It is
	// called by one goroutine for each connection.
	Expel func(Message) (ends bool, code byte)
	// Lazy loses the answers that were not sent when a connection ends for Expel.
	Lazy bool
}

// Cut is where a connection ends: when so many bytes have passed. 0 sets no limit.
type Cut struct{ Received, Sent int }

// Message is a published message.
type Message struct {
	Topic, Payload string
	QoS            byte
	Dup            bool
}

// Sink is the broker. Its methods may be called at any time.
type Sink struct {
	opts     Options
	ln       net.Listener
	running  sync.WaitGroup
	count    atomic.Int64
	problems atomic.Pointer[error]

	mu       sync.Mutex
	accepted int
	conns    map[net.Conn]bool
	closed   bool
	present  bool            // there is a session
	open     map[uint16]bool // identifiers of QoS 2 that are not released
	messages []Message
}

// Listen starts a sink on a free port of the loopback interface.
func Listen(opts Options) (*Sink, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a sink: %w", err)
	}
	s := &Sink{opts: opts, ln: ln, conns: map[net.Conn]bool{}, open: map[uint16]bool{}}
	s.running.Go(s.accept)
	return s, nil
}

// URL returns the address in the form of MQTT clients.
func (s *Sink) URL() string { return "tcp://" + s.ln.Addr().String() }

// Count returns how many messages arrived. One of QoS 2 that comes again before it is
// released counts once.
func (s *Sink) Count() int64 { return s.count.Load() }

// Messages returns the messages in the order of arrival.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Connections returns how many connections were made.
func (s *Sink) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Problem returns the first violation of the standard by the client, or nil.
func (s *Sink) Problem() error {
	if p := s.problems.Load(); p != nil {
		return *p
	}
	return nil
}

// Close ends all connections and waits for their goroutines.
func (s *Sink) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	_ = s.ln.Close()
	s.running.Wait()
}

func (s *Sink) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		var cut Cut
		if s.accepted < len(s.opts.Cuts) {
			cut = s.opts.Cuts[s.accepted]
		}
		s.accepted++
		s.conns[c] = true
		s.running.Go(func() { s.serve(c, cut) })
		s.mu.Unlock()
	}
}

// limited is a connection that ends after a number of bytes.
type limited struct {
	net.Conn
	cut            Cut
	received, sent int
}

var errCut = errors.New("the connection is cut")

func (l *limited) Read(p []byte) (int, error) {
	if limit := l.cut.Received; limit > 0 {
		if l.received >= limit {
			return 0, errCut
		}
		p = p[:min(len(p), limit-l.received)]
	}
	n, err := l.Conn.Read(p)
	l.received += n
	return n, err
}

func (l *limited) Write(p []byte) (int, error) {
	cut := false
	if limit := l.cut.Sent; limit > 0 && l.sent+len(p) >= limit {
		p, cut = p[:limit-l.sent], true
	}
	n, err := l.Conn.Write(p)
	l.sent += n
	if err == nil && cut {
		err = errCut
	}
	return n, err
}

func (s *Sink) serve(c net.Conn, cut Cut) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		_ = c.Close()
	}()
	conn := &limited{Conn: c, cut: cut}
	p := &peer{s: s, conn: conn, in: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 64<<10)}
	for {
		if p.in.Buffered() == 0 && p.out.Flush() != nil {
			return
		}
		if err := p.packet(); err != nil {
			_ = p.out.Flush() // the connection ends anyway
			if errors.As(err, new(violation)) {
				s.problems.CompareAndSwap(nil, &err)
			}
			return
		}
	}
}

// violation is what the client must not do.
type violation string

func (v violation) Error() string { return string(v) }

// peer is one connection.
type peer struct {
	s       *Sink
	conn    io.Writer
	in      *bufio.Reader
	out     *bufio.Writer
	greeted bool
	v5      bool
	body    []byte
}

func (p *peer) packet() error {
	first, err := p.in.ReadByte()
	if err != nil {
		return err
	}
	length, err := binary.ReadUvarint(p.in)
	if err != nil {
		return err
	}
	if length >= 1<<28 {
		return violation("a length of more than 4 bytes")
	}
	p.body = slices.Grow(p.body[:0], int(length))[:length]
	if _, err := io.ReadFull(p.in, p.body); err != nil {
		return err
	}
	switch packetType := first >> 4; {
	case !p.greeted && packetType == 1:
		return p.connect()
	case p.greeted && packetType == 3:
		return p.publish(first)
	case p.greeted && packetType == 6:
		return p.release(first)
	case p.greeted && packetType == 12:
		return p.write(0xd0)
	case p.greeted && packetType == 14:
		return io.EOF
	}
	return violation(fmt.Sprintf("the packet %02x %x", first, p.body))
}

func (p *peer) write(first byte, body ...byte) error {
	_, err := p.out.Write(append([]byte{first, byte(len(body))}, body...))
	return err
}

func (p *peer) connect() error {
	if len(p.body) < 12 {
		return violation(fmt.Sprintf("the CONNECT %x", p.body))
	}
	p.greeted, p.v5 = true, p.body[6] == 5
	clean := p.body[7]&2 != 0
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if clean {
		s.present = false
		clear(s.open)
	}
	present := byte(0)
	if s.present {
		present = 1
	}
	// With MQTT 3.1.1 a clean session ends with its connection.
	s.present = p.v5 || !clean
	if !p.v5 {
		return p.write(0x20, present, 0)
	}
	if m := s.opts.ReceiveMaximum; m > 0 {
		return p.write(0x20, present, 0, 3, 33, byte(m>>8), byte(m))
	}
	return p.write(0x20, present, 0, 0)
}

func (p *peer) publish(first byte) error {
	qos := first >> 1 & 3
	n := 0
	if len(p.body) >= 2 {
		n = int(binary.BigEndian.Uint16(p.body))
	}
	if qos == 3 || n == 0 || len(p.body) < 2+n+2 {
		return violation(fmt.Sprintf("the PUBLISH %02x %x", first, p.body))
	}
	topic, rest := p.body[2:2+n], p.body[2+n:]
	var id uint16
	if qos > 0 {
		if id, rest = binary.BigEndian.Uint16(rest), rest[2:]; id == 0 {
			return violation("a PUBLISH with the identifier 0")
		}
	}
	if p.v5 {
		length, size := binary.Uvarint(rest)
		if size <= 0 || int(length) > len(rest)-size {
			return violation(fmt.Sprintf("the properties of the PUBLISH %x", p.body))
		}
		rest = rest[size+int(length):]
	}
	if qos < 2 && !p.s.opts.Keep && p.s.opts.Expel == nil {
		p.s.count.Add(1)
	} else {
		m := Message{string(topic), string(rest), qos, first&8 != 0}
		if p.s.opts.Expel != nil {
			if ends, code := p.s.opts.Expel(m); ends {
				return p.expel(code)
			}
		}
		p.s.take(m, id)
	}
	switch qos {
	case 1:
		return p.write(0x40, byte(id>>8), byte(id))
	case 2:
		return p.write(0x50, byte(id>>8), byte(id))
	}
	return nil
}

// errExpelled ends a connection because of a message.
var errExpelled = errors.New("the message ends the connection")

func (p *peer) expel(code byte) error {
	if p.s.opts.Lazy {
		p.out.Reset(p.conn)
	}
	if p.v5 && code != 0 {
		if err := p.write(0xe0, code); err != nil {
			return err
		}
	}
	return errExpelled
}

// take records a message, unless it is one of QoS 2 that is here already.
func (s *Sink) take(m Message, id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.QoS == 2 {
		if s.open[id] {
			return
		}
		s.open[id] = true
	}
	s.count.Add(1)
	if s.opts.Keep {
		s.messages = append(s.messages, m)
	}
}

func (p *peer) release(first byte) error {
	if first != 0x62 || len(p.body) < 2 {
		return violation(fmt.Sprintf("the PUBREL %02x %x", first, p.body))
	}
	id := binary.BigEndian.Uint16(p.body)
	p.s.mu.Lock()
	known := p.s.open[id]
	delete(p.s.open, id)
	p.s.mu.Unlock()
	if p.v5 && !known {
		return p.write(0x70, p.body[0], p.body[1], 0x92) // packet identifier not found
	}
	return p.write(0x70, p.body[0], p.body[1])
}
