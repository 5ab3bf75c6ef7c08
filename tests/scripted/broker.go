package scripted

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Options configure a broker.
type Options struct {
	// Script is how each connection is handled, in order. Connections after its end are
	// handled correctly.
	Script []Behaviour
	// Only311, if set, answers every CONNECT of MQTT 5.
	Only311 *Refusal
	// OnAck is called for each message that the client acknowledges for the first time,
	// by PUBACK or PUBREC. It must not call the broker.
	OnAck func(Message)
}

// Broker serves one client. Its methods may be called at any time.
type Broker struct {
	opts    Options
	ln      net.Listener
	running sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	open     map[*conn]bool
	accepted int
	welcomed int
	answered int
	last     int      // the number of the connection that was welcomed last
	current  *conn    // the one that has the session, or nil
	session  *session // nil without
	acked    []Message
	lost     []LostMessage
	problems []string
}

// Listen starts a broker on a free port of the loopback interface.
func Listen(opts Options) (*Broker, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a scripted broker: %w", err)
	}
	return Start(ln, opts), nil
}

// Start starts a broker on a listener. Close closes the listener.
func Start(ln net.Listener, opts Options) *Broker {
	b := &Broker{opts: opts, ln: ln, open: map[*conn]bool{}}
	b.running.Go(b.acceptLoop)
	return b
}

// URL returns the address in the form of MQTT clients.
func (b *Broker) URL() string { return "tcp://" + b.ln.Addr().String() }

// Close ends all connections and waits for their goroutines.
func (b *Broker) Close() {
	b.mu.Lock()
	b.closed = true
	for c := range b.open {
		c.hangUp()
	}
	b.mu.Unlock()
	b.ln.Close()
	b.running.Wait()
}

// Publish gives the broker messages for the client. They are lost without a session or
// a matching subscription; those of QoS 0 are also lost without a connection.
func (b *Broker) Publish(messages ...Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range messages {
		e := &entry{Message: m}
		wanted := false
		if b.session != nil {
			e.qos, wanted = b.session.qos(&m)
		}
		if !wanted || e.qos == 0 && b.current == nil {
			b.loseLocked(e)
			continue
		}
		b.session.queue = append(b.session.queue, e)
	}
	if c := b.current; c != nil {
		c.pumpLocked()
	}
}

// CutNow closes the connection, if there is one.
func (b *Broker) CutNow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != nil {
		b.current.hangUp()
	}
}

// Extend adds to the script.
func (b *Broker) Extend(more ...Behaviour) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.opts.Script) < b.accepted {
		b.opts.Script = append(b.opts.Script, Behaviour{})
	}
	b.opts.Script = append(b.opts.Script, more...)
}

// Calm ends the script: later connections are handled correctly.
func (b *Broker) Calm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opts.Script = nil
}

// Left returns how much of the script is unused.
func (b *Broker) Left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, len(b.opts.Script)-b.accepted)
}

// Connections returns how many connections were made, and how many of them got a
// positive CONNACK.
func (b *Broker) Connections() (made, welcomed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted, b.welcomed
}

// Unanswered returns how many connections got no complete CONNACK: their clients do not
// know what happened to their session.
func (b *Broker) Unanswered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted - b.answered
}

// Subscribed reports whether the session has a filter that matches the topic.
func (b *Broker) Subscribed(topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == nil {
		return false
	}
	_, ok := b.session.qos(&Message{Topic: topic})
	return ok
}

// Waiting returns how many messages wait for the client's first answer.
func (b *Broker) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == nil {
		return 0
	}
	return len(b.session.unanswered())
}

// Acked returns the acknowledged messages in the order of acknowledgement.
func (b *Broker) Acked() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Message(nil), b.acked...)
}

// Lost returns the messages that are lost without an acknowledgement: with their
// session, or because nobody was subscribed.
func (b *Broker) Lost() []LostMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]LostMessage(nil), b.lost...)
}

// Problems returns the client's violations of the standard.
func (b *Broker) Problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.problems...)
}

func (b *Broker) acceptLoop() {
	for {
		nc, err := b.ln.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			nc.Close()
			return
		}
		var how Behaviour
		if b.accepted < len(b.opts.Script) {
			how = b.opts.Script[b.accepted]
		}
		b.accepted++
		c := newConn(b, b.accepted, nc, how)
		b.open[c] = true
		b.running.Go(c.writeLoop)
		b.running.Go(c.serve)
		b.mu.Unlock()
	}
}

// loseLocked records that a message is lost.
func (b *Broker) loseLocked(e *entry) {
	l := LostMessage{Message: e.Message}
	if e.on == b.last {
		l.Held = e.held
	}
	b.lost = append(b.lost, l)
}

// dropLocked removes the session and its messages.
func (b *Broker) dropLocked() {
	if b.session == nil {
		return
	}
	for _, e := range b.session.unanswered() {
		b.loseLocked(e)
	}
	b.session = nil
}

// leaveLocked detaches the session from its connection.
func (b *Broker) leaveLocked(c *conn) {
	if b.current != c {
		return
	}
	b.current = nil
	for _, e := range b.session.unanswered() {
		if e.on == c.number {
			e.held = time.Since(e.written)
		}
	}
	var kept []*entry
	for _, e := range b.session.queue {
		if e.qos == 0 {
			b.loseLocked(e)
		} else {
			kept = append(kept, e)
		}
	}
	b.session.queue = kept
	if !c.hello.keeps {
		b.dropLocked()
	}
}

func (b *Broker) problemLocked(c *conn, format string, args ...any) {
	b.problems = append(b.problems, fmt.Sprintf("connection %d: ", c.number)+fmt.Sprintf(format, args...))
}
