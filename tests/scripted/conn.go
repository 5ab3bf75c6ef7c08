package scripted

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// segment is what is written at once.
type segment struct {
	bytes   []byte
	entries []*entry // whose PUBLISH it has
	connack bool     // whether it has a CONNACK
	then    func()   // ends the connection, or nil
}

// conn is one connection. Fields that its goroutines do not own are guarded by the
// broker's mutex.
type conn struct {
	b      *Broker
	number int // from 1
	how    Behaviour
	hello  hello // once it is welcome

	wire wire
	wake chan struct{} // one slot: out has something

	out      []segment
	holding  bool   // messages wait for SUBACK
	owed     []byte // a SUBACK that waits for an acknowledgement
	welcome  bool
	answered bool // something was acknowledged
	timers   []*time.Timer
}

func newConn(b *Broker, number int, nc net.Conn, how Behaviour) *conn {
	c := &conn{b: b, number: number, how: how, wake: make(chan struct{}, 1)}
	c.wire = wire{conn: nc, how: how, closed: make(chan struct{})}
	if how.Window == 0 {
		c.how.Window = 65535
	}
	return c
}

func (c *conn) hangUp() { c.wire.hangUp() }

// serve reads until the connection ends.
func (c *conn) serve() {
	defer func() {
		c.hangUp()
		c.b.mu.Lock()
		defer c.b.mu.Unlock()
		for _, t := range c.timers {
			t.Stop()
		}
		c.b.leaveLocked(c)
		delete(c.b.open, c)
	}()
	if c.how.After > 0 {
		c.b.mu.Lock()
		c.laterLocked(c.how.After, func() {
			c.sendLocked(segment{bytes: c.how.Farewell, then: c.wire.finish})
		})
		c.b.mu.Unlock()
	}
	r := bufio.NewReader(&c.wire)
	f, err := readFrame(r)
	if err == nil {
		err = c.greet(f)
	}
	for err == nil {
		if f, err = readFrame(r); err == nil {
			err = c.handle(f)
		}
	}
}

// errDone ends a connection without a problem.
var errDone = errors.New("the connection is done")

// laterLocked calls do with the broker's mutex held, if the connection still exists.
func (c *conn) laterLocked(d time.Duration, do func()) {
	c.timers = append(c.timers, time.AfterFunc(d, func() {
		c.b.mu.Lock()
		defer c.b.mu.Unlock()
		if c.b.open[c] {
			do()
		}
	}))
}

// greet answers CONNECT.
func (c *conn) greet(f frame) error {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	h, err := parseConnect(f)
	if err != nil {
		b.problemLocked(c, "%v", err)
		return err
	}
	refusal := c.how.Refusal
	if refusal == nil && h.v5 {
		refusal = b.opts.Only311
	}
	if refusal != nil {
		answer := segment{bytes: refusal.Answer, connack: len(refusal.Answer) >= 4}
		if !refusal.Hold {
			answer.then = c.hangUp
		}
		c.sendLocked(answer)
		return nil // what else it says is ignored, since it is not welcome
	}
	if old := b.current; old != nil {
		old.hangUp()
		b.leaveLocked(old)
	}
	c.hello, c.welcome = h, true
	c.how.Window = min(c.how.Window, h.receiveMaximum)
	b.welcomed++
	if h.clean || c.how.Session == Lost {
		b.dropLocked()
	}
	b.last = c.number
	present := b.session != nil
	if !present {
		b.session = &session{}
	}
	b.current = c
	if c.how.Session == HalfKept {
		b.session.filters = nil
	}
	b.session.resume(&c.how)
	connack := []byte{0x20, 2, 0, 0}
	if h.v5 {
		connack = []byte{0x20, 3, 0, 0, 0}
	}
	if present {
		connack[2] = 1
	}
	first := len(c.out)
	c.sendLocked(segment{bytes: connack, connack: true})
	for _, e := range b.session.inflight { // those that were received
		c.sendLocked(segment{bytes: encode(typePubrel<<4|2, u16(e.id))})
	}
	if c.how.Suback == SubackEarly && present {
		c.holding = true
		c.laterLocked(100*time.Millisecond, c.releaseLocked)
	}
	c.pumpLocked()
	if c.how.Together {
		all := segment{connack: true}
		for _, s := range c.out[first:] {
			all.bytes, all.entries = append(all.bytes, s.bytes...), append(all.entries, s.entries...)
		}
		c.out = append(c.out[:first], all)
	}
	return nil
}

// releaseLocked ends the wait for SUBACK.
func (c *conn) releaseLocked() {
	c.holding = false
	c.pumpLocked()
}

// pumpLocked sends what may be sent.
func (c *conn) pumpLocked() {
	if c.b.current != c || c.holding {
		return
	}
	s := c.b.session
	for e := s.next(c.how.Window); e != nil; e = s.next(c.how.Window) {
		dup := c.how.Dup == DupAlways || c.how.Dup == DupRight && e.sent
		e.sent = true
		c.sendLocked(segment{bytes: encodePublish(&e.Message, e.qos, e.id, dup, c.hello.v5), entries: []*entry{e}})
	}
}

// sendLocked queues a segment.
func (c *conn) sendLocked(s segment) {
	c.out = append(c.out, s)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// handle handles a packet of an accepted client.
func (c *conn) handle(f frame) error {
	b := c.b
	b.mu.Lock()
	if !c.welcome || b.current != c {
		b.mu.Unlock()
		return nil
	}
	acked, err := c.handleLocked(f)
	if err != nil && !errors.Is(err, errDone) {
		b.problemLocked(c, "%v", err)
	}
	if acked != nil && b.opts.OnAck != nil {
		// Unlocked, because it may take long.
		b.mu.Unlock()
		b.opts.OnAck(*acked)
		return err
	}
	b.mu.Unlock()
	return err
}

func (c *conn) handleLocked(f frame) (acked *Message, err error) {
	s := c.b.session
	switch packetType := f.first >> 4; packetType {
	case typePuback, typePubrec, typePubcomp:
		id, err := parseAck(f)
		if err != nil {
			return nil, err
		}
		e, err := s.acked(packetType, id)
		if err != nil {
			return nil, err
		}
		c.answered = true
		if packetType == typePubrec {
			c.sendLocked(segment{bytes: encode(typePubrel<<4|2, u16(id))})
		}
		if packetType != typePubcomp {
			c.b.acked = append(c.b.acked, e.Message)
			acked = &e.Message
		}
		if c.owed != nil {
			c.sendLocked(segment{bytes: c.owed})
			c.owed = nil
		}
		c.pumpLocked()
		return acked, nil
	case typeSubscribe:
		return nil, c.subscribeLocked(f)
	case typePingreq:
		c.sendLocked(segment{bytes: []byte{0xd0, 0}})
		return nil, nil
	case typeDisconnect:
		return nil, errDone
	default:
		return nil, fmt.Errorf("the packet %02x %x", f.first, f.body)
	}
}

func (c *conn) subscribeLocked(f frame) error {
	id, filters, err := parseSubscribe(f, c.hello.v5)
	if err != nil {
		return err
	}
	granted := filters
	switch c.how.Suback {
	case SubackRefused:
		granted = nil
	case SubackRefusedPart:
		granted = filters[:1]
	}
	codes := make([]byte, len(filters))
	for i, f := range filters {
		switch {
		case i < len(granted):
			codes[i] = f.qos
		case c.hello.v5:
			codes[i] = 0x87
		default:
			codes[i] = 0x80
		}
	}
	c.b.session.subscribe(granted)
	parts := [][]byte{u16(id), codes}
	if c.hello.v5 {
		parts = slices.Insert(parts, 1, []byte{0})
	}
	suback := encode(0x90, parts...)
	switch c.how.Suback {
	case SubackNever:
	case SubackLate:
		c.laterLocked(c.how.SubackDelay, func() { c.sendLocked(segment{bytes: suback}) })
	case SubackAfterAck:
		if !c.answered && len(c.b.session.unanswered()) > 0 {
			c.owed = suback
			break
		}
		c.sendLocked(segment{bytes: suback})
	default:
		c.sendLocked(segment{bytes: suback})
	}
	c.releaseLocked()
	return nil
}

// writeLoop writes until the connection ends.
func (c *conn) writeLoop() {
	for {
		select {
		case <-c.wake:
		case <-c.wire.closed:
			return
		}
		c.b.mu.Lock()
		out := c.out
		c.out = nil
		c.b.mu.Unlock()
		for _, s := range out {
			whole, err := c.wire.write(s.bytes)
			if err != nil {
				c.hangUp()
				return
			}
			c.b.mu.Lock()
			if whole && s.connack {
				c.b.answered++
			}
			if whole && c.b.current == c {
				for _, e := range s.entries {
					e.on, e.written = c.number, time.Now()
				}
			}
			c.b.mu.Unlock()
			if s.then != nil {
				s.then()
			}
		}
	}
}
