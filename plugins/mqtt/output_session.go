package mqtt

import (
	"errors"
	"fmt"
	"time"
)

// publishing is one connection of the output, from its CONNACK to its end. What is to be
// sent, and what becomes of it, is up to the outbox, which outlives the connection.
type publishing struct {
	*line
	out     *outbox
	timeout time.Duration // for an acknowledgement, 0 for no limit

	// Owned by the writing goroutine: what it saw when it last checked.
	answers int
	stalled time.Time // since when the broker has owed an acknowledgement, or zero
}

func newPublishing(l *line, out *outbox, c *outputConfig) *publishing {
	p := &publishing{line: l, out: out, timeout: c.ackTimeout}
	p.user = p
	if c.writeTimeout > 0 {
		p.patience = c.writeTimeout
	}
	return p
}

// start begins to read and write. resumed and unsure are as in outbox.attach.
func (p *publishing) start(t terms, resumed, unsure bool) {
	p.out.attach(p, t, resumed, unsure)
	p.running.Go(func() {
		if p.timeout <= 0 {
			p.writeLoop(nil, nil)
			return
		}
		look := time.NewTicker(max(p.timeout/4, time.Millisecond))
		defer look.Stop()
		p.writeLoop(look.C, p.checkAnswers)
	})
	p.running.Go(p.readLoop)
	p.pump()
}

// checkAnswers returns an error if the broker has acknowledged nothing for too long while
// messages were in flight. Nothing else would make it answer: messages are sent again on
// a new connection only.
func (p *publishing) checkAnswers() error {
	inFlight, answers := p.out.progress()
	now := time.Now()
	if inFlight == 0 || answers != p.answers || p.stalled.IsZero() {
		p.answers, p.stalled = answers, now
		return nil
	}
	if now.Sub(p.stalled) < p.timeout {
		return nil
	}
	return &unansweredError{inFlight, p.timeout}
}

// unansweredError means that the broker acknowledges nothing.
type unansweredError struct {
	inFlight int
	timeout  time.Duration
}

func (e *unansweredError) Error() string {
	return fmt.Sprintf("the broker has acknowledged none of %d messages in flight for %s, the %s", e.inFlight, e.timeout, fieldAckTimeout)
}

// pump writes what may be sent, as long as the socket accepts it at once. The writing
// goroutine continues from there.
func (p *publishing) pump() {
	for p.writer.add(p.fill) {
		continue
	}
	p.out.accepted(p, p.writer.accepted())
}

// fill is called with the writer's lock.
func (p *publishing) fill(buf []byte) []byte { return p.out.fill(p, buf, p.writer.base) }

// wrote implements user.
func (p *publishing) wrote() { p.pump() }

// ended implements user.
func (p *publishing) ended() {
	p.out.accepted(p, p.writer.accepted())
	p.out.detach(p, p.reason())
}

// mayBeSilent implements user.
func (*publishing) mayBeSilent() bool { return false }

// pinging implements user.
func (*publishing) pinging() {}

// leave ends the connection and, under MQTT 5, the session: the next process could not
// continue it.
func (p *publishing) leave() {
	if p.v5 {
		p.closeWith([]byte{typeDisconnect << 4, 7, 0, 5, propSessionExpiry, 0, 0, 0, 0})
		return
	}
	p.close()
}

// errDelivers means that the client has subscriptions.
var errDelivers = errors.New("the broker delivers messages to this client: the session of its client_id has subscriptions; give the output a client_id of its own")

// readLoop is the only goroutine that reads once the connection is up.
func (p *publishing) readLoop() {
	defer p.guard.Catch(p.component+", reading", p.fail)
	for {
		if !p.in.buffered() {
			p.pump() // once for all acknowledgements that came together
			if inFlight, _ := p.out.progress(); inFlight > 0 {
				acknowledgeNow(p.conn) // the broker may keep further answers back until then
			}
		}
		if err := p.packet(); err != nil {
			p.endForViolation(err)
			return
		}
	}
}

// packet handles the next packet.
func (p *publishing) packet() error {
	first, length, err := p.in.header()
	if err != nil {
		return connectionError("reading", err)
	}
	if first>>4 == typePublish {
		return errDelivers
	}
	body, shared, err := p.in.body(length)
	if err != nil {
		return connectionError("reading", err)
	}
	if err := p.control(first>>4, body); err != nil {
		return err
	}
	if shared {
		p.in.done(body)
	}
	return nil
}

func (p *publishing) control(packetType byte, body []byte) error {
	switch packetType {
	case typePuback, typePubrec, typePubcomp:
		a, err := parsePublishAck(body, p.v5)
		if err != nil {
			return err
		}
		return p.out.answer(p, packetType, a)
	case typePingresp:
		p.out.pinged(p)
		return nil
	case typePubrel: // of a message that an earlier user of the session received
		a, err := parsePublishAck(body, p.v5)
		if err == nil {
			p.writer.add(func(buf []byte) []byte { return appendAck(buf, typePubcomp, a.id) })
		}
		return err
	case typeDisconnect:
		return p.disconnectedBy(body)
	}
	return &packetError{reasonProtocol, fmt.Sprintf("the broker sent a packet of type %d, which is not allowed now", packetType)}
}
