package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// source is an MQTT broker that does one thing: it floods its only subscriber
// with QoS 1 messages, so that no real broker is the limit of a measurement.
type source struct {
	listener net.Listener
	load     load

	subscribed chan struct{}
	begin      chan struct{}
	ended      chan error
}

// load says what the source sends.
type load struct {
	messages int // how many
	size     int // bytes of payload
	topics   int // over how many topics
	window   int // unacknowledged messages at a time
	rate     int // messages a second, 0 for as many as the subscriber takes
}

func startSource(l load) (*source, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the source: %w", err)
	}
	s := &source{
		listener: listener, load: l,
		subscribed: make(chan struct{}), begin: make(chan struct{}), ended: make(chan error, 1),
	}
	go func() { s.ended <- s.serve() }()
	return s, nil
}

func (s *source) url() string { return "tcp://" + s.listener.Addr().String() }

// ready is closed when the subscriber has subscribed.
func (s *source) ready() <-chan struct{} { return s.subscribed }

// flood begins to send the load.
func (s *source) flood() { close(s.begin) }

func (s *source) close() { _ = s.listener.Close() } // nobody else listens on it

// serve takes connections until one subscribes, and sends it the load. It
// returns when all of it is acknowledged.
func (s *source) serve() error {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return err
		}
		subscriber, err := handshake(conn)
		if err != nil {
			_ = conn.Close() // a probe, or a client that tries another version
			continue
		}
		close(s.subscribed)
		<-s.begin
		err = s.send(subscriber)
		go func() { _, _ = io.Copy(conn, subscriber.reader) }() // pings, until the subscriber leaves
		return err
	}
}

type subscriber struct {
	conn    net.Conn
	reader  *bufio.Reader
	version byte
}

// handshake answers CONNECT and SUBSCRIBE (MQTT 3.1.1 and 5.0, section 3).
func handshake(conn net.Conn) (*subscriber, error) {
	s := &subscriber{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10)}
	for {
		header, body, err := readPacket(s.reader)
		if err != nil {
			return nil, err
		}
		var answer []byte
		switch header >> 4 {
		case 1: // CONNECT
			s.version = body[6]
			answer = []byte{0x20, 2, 0, 0}
			if s.version == 5 {
				answer = []byte{0x20, 3, 0, 0, 0}
			}
		case 8: // SUBSCRIBE
			answer = []byte{0x90, 3, body[0], body[1], 1}
			if s.version == 5 {
				answer = []byte{0x90, 4, body[0], body[1], 0, 1}
			}
		case 12: // PINGREQ
			answer = []byte{0xd0, 0}
		default:
			return nil, fmt.Errorf("reading a packet of type %d before SUBSCRIBE", header>>4)
		}
		if _, err := conn.Write(answer); err != nil {
			return nil, err
		}
		if header>>4 == 8 {
			return s, nil
		}
	}
}

func readPacket(r *bufio.Reader) (header byte, body []byte, err error) {
	if header, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, size)
	_, err = io.ReadFull(r, body)
	return header, body, err
}

// send sends the load and reads the acknowledgements.
func (s *source) send(to *subscriber) error {
	var mu sync.Mutex
	free := sync.NewCond(&mu)
	inFlight, acked := 0, 0
	var broken error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for acked < s.load.messages {
			header, err := to.reader.ReadByte()
			var size byte
			if err == nil {
				size, err = to.reader.ReadByte()
			}
			if err == nil {
				_, err = to.reader.Discard(int(size))
			}
			mu.Lock()
			if err != nil {
				broken = fmt.Errorf("reading acknowledgements: %w", err)
			} else if header>>4 == 4 {
				inFlight--
				acked++
			}
			// One signal for each message would make the source the limit.
			if err != nil || to.reader.Buffered() == 0 {
				free.Signal()
			}
			mu.Unlock()
			if err != nil {
				return
			}
			if header>>4 == 12 {
				_, _ = to.conn.Write([]byte{0xd0, 0}) // the next write would fail as well
			}
		}
	}()

	w := bufio.NewWriterSize(to.conn, 64<<10)
	packets := s.load.packets(to.version)
	start := time.Now()
	for n := 0; n < s.load.messages; {
		mu.Lock()
		for inFlight >= s.load.window && broken == nil {
			free.Wait()
		}
		may := min(s.load.window-inFlight, s.load.messages-n, 256)
		err := broken
		inFlight += may
		mu.Unlock()
		if err != nil {
			return err
		}
		for range may {
			if s.load.rate > 0 {
				due := start.Add(time.Duration(n) * time.Second / time.Duration(s.load.rate))
				if wait := time.Until(due); wait > 0 {
					if err := w.Flush(); err != nil {
						return err
					}
					time.Sleep(wait)
				}
			}
			p := packets[n%len(packets)]
			binary.BigEndian.PutUint16(p.bytes[p.id:], uint16(n%65535)+1)
			binary.BigEndian.PutUint64(p.bytes[len(p.bytes)-16:], uint64(n))
			binary.BigEndian.PutUint64(p.bytes[len(p.bytes)-8:], uint64(time.Now().UnixNano()))
			if _, err := w.Write(p.bytes); err != nil {
				return err
			}
			n++
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	<-done
	return broken
}

type packet struct {
	topic string
	bytes []byte
	id    int // where the packet identifier stands
}

// packets makes one PUBLISH a topic. Its payload ends in 16 bytes that send
// fills in: the number of the message and the time.
func (l load) packets(version byte) []packet {
	packets := make([]packet, l.topics)
	for i := range packets {
		topic := fmt.Sprintf("bench/%05d/data", i)
		size := 2 + len(topic) + 2 + l.size
		if version == 5 {
			size++
		}
		b := binary.AppendUvarint([]byte{0x32}, uint64(size))
		b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
		b = append(b, topic...)
		id := len(b)
		b = append(b, 0, 0)
		if version == 5 {
			b = append(b, 0)
		}
		for range l.size {
			b = append(b, 'x')
		}
		packets[i] = packet{topic: topic, bytes: b, id: id}
	}
	return packets
}

var errTooSmall = errors.New("a payload has at least 16 bytes, for the number and the time")
