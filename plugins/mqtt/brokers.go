package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// brokers opens sessions with the brokers of the URLs and remembers what it has learned
// about each. Only one goroutine uses it.
type brokers struct {
	conf *config
	log  logger

	known      map[string]*broker // by URL
	assignedID string
	warned     map[string]bool
	generation int // how many sessions have begun
}

// broker is what earlier connections learned about the broker at one URL, and about the
// session there.
type broker struct {
	speaks5 bool
	only3   bool // it has explicitly refused MQTT 5
	// generation identifies the session: connections share it if the broker kept the
	// session between them. 0 before the first.
	generation int
	// subscribed means that the session has all filters. The reading goroutine of a
	// connection sets it.
	subscribed atomic.Bool
	// unsure means that the broker may have started a new session that we do not know
	// of: it got a CONNECT whose CONNACK did not arrive.
	unsure bool
	qos2   *qos2
}

func newBrokers(conf *config, log logger) *brokers {
	return &brokers{
		conf: conf, log: log,
		known: make(map[string]*broker), warned: make(map[string]bool),
	}
}

func (c *brokers) broker(u *url.URL) *broker {
	b := c.known[u.String()]
	if b == nil {
		b = &broker{qos2: newQoS2()}
		c.known[u.String()] = b
	}
	return b
}

// warn logs a warning once in the lifetime of the process.
func (c *brokers) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !c.warned[text] {
		c.warned[text] = true
		c.log.Warnf("%s", text)
	}
}

// connect tries the brokers in turn and returns the first working session.
func (c *brokers) connect(ctx context.Context) (*session, error) {
	var all []error
	for _, u := range c.conf.urls {
		s, err := c.session(ctx, u)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		all = append(all, fmt.Errorf("connecting to %s: %w", u.Redacted(), err))
	}
	return nil, &allFailed{all}
}

// allFailed joins the errors of the attempts to connect to each broker.
type allFailed struct{ errs []error }

func (e *allFailed) Unwrap() []error { return e.errs }

func (e *allFailed) Error() string {
	texts := make([]string, len(e.errs))
	for i, err := range e.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// session connects to one broker and subscribes if needed.
func (c *brokers) session(ctx context.Context, u *url.URL) (*session, error) {
	if err := c.conf.gate.Enter(ctx, u, c.conf.clientID, c.conf.cleanSession); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.conf.connectTimeout)
	defer cancel()
	s, err := c.open(ctx, u)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("no answer within %s, the %s", c.conf.connectTimeout, fieldConnectTimeout)
	}
	if err != nil {
		return nil, err
	}
	if err := c.conf.gate.Joined(u, c.conf.clientID, s.connack.sessionPresent); err != nil {
		s.fail(errClosed)
		return nil, err
	}
	c.notice(s)
	c.resume(s)
	if err := s.start(ctx, c.mustSubscribe(s)); err != nil {
		return nil, err
	}
	return s, nil
}

// resume decides whether the connection continues the session of an earlier one at the
// same URL. If that is unsure it does not: repeating a message is better than losing
// it.
func (c *brokers) resume(s *session) {
	b := s.broker
	if !s.connack.sessionPresent || b.unsure || b.generation == 0 {
		b.qos2.clear()
		b.subscribed.Store(false)
		b.unsure = false
		c.generation++
		b.generation = c.generation
	}
	s.generation = b.generation
}

// mustSubscribe reports whether the connection has to subscribe.
//
// With MQTT 5 it always does, because that does not repeat retained messages: a broker
// may have kept a session without its subscriptions, or with those of other filters.
// MQTT 3.1.1 would repeat them, so there a session is subscribed once in the lifetime
// of this process, by a SUBACK that grants every filter.
func (c *brokers) mustSubscribe(s *session) bool {
	return s.v5 || !s.broker.subscribed.Load()
}

// robustMQNote is what users of RobustMQ should know.
const robustMQNote = "The broker seems to be a RobustMQ, which delivers the messages of one topic out of order by itself; " +
	"a filter of $share/group/filter keeps it from skipping a message that waits for longer than 15 seconds"

// notice logs where the broker grants less than was requested.
func (c *brokers) notice(s *session) {
	if id := s.connack.assignedID; id != "" && !c.conf.cleanSession {
		c.assignedID = id
	}
	if e := s.connack.expiry; e != nil && *e < c.conf.sessionExpiry {
		c.warn("The broker keeps the session for %s only: messages for a client that is away longer are lost", time.Duration(*e)*time.Second)
	}
	if s.connack.robustMQ {
		c.warn("%s", robustMQNote)
	}
	if s.broker.generation != 0 && !c.conf.cleanSession && !s.connack.sessionPresent {
		c.log.Warnf("The broker at %s has not kept the session: the messages in it are lost; the input subscribes again", s.address)
	}
}

// open dials a broker and sends CONNECT. It falls back to MQTT 3.1.1 if the broker does
// not speak MQTT 5. Only a broker that refused MQTT 5 explicitly is not tried with it
// again: one that closed the connection or stayed silent may have been a load balancer
// without a backend.
func (c *brokers) open(ctx context.Context, u *url.URL) (*session, error) {
	b := c.broker(u)
	auto := c.conf.version == versionAuto
	if c.conf.version == version311 || auto && b.only3 {
		return c.openAs(ctx, u, false, c.conf.connectTimeout)
	}
	patience := c.conf.connectTimeout
	if auto && !b.speaks5 {
		patience = min(patience/2, silence)
	}
	s, err := c.openAs(ctx, u, true, patience)
	if err == nil {
		b.speaks5 = true
		return s, nil
	}
	var other *otherVersionError
	// A broker that spoke MQTT 5 before has another reason to close the connection now.
	if !errors.As(err, &other) || !auto || b.speaks5 && !other.explicit {
		return nil, err
	}
	b.only3 = other.explicit
	s, old := c.openAs(ctx, u, false, c.conf.connectTimeout)
	if old != nil {
		var reason *reasonError
		if other.explicit || errors.As(old, &reason) {
			return nil, old
		}
		return nil, fmt.Errorf("%w, and on MQTT 3.1.1: %w", err, old)
	}
	how := "on this connection, without the properties of MQTT 5, and tries MQTT 5 again on the next. If the broker does not speak it, set protocol_version: 3.1.1"
	if b.only3 {
		how = "with it from now on, without the properties of MQTT 5"
	}
	c.warn("The broker at %s %s on MQTT 5: this input speaks MQTT 3.1.1 %s", u.Redacted(), other.how, how)
	return s, nil
}

func (c *brokers) openAs(ctx context.Context, u *url.URL, v5 bool, patience time.Duration) (*session, error) {
	conn, err := c.conf.dial(ctx, u, c.conf.tls)
	if err != nil {
		return nil, neterror.WithoutLocalPort(err)
	}
	id := c.conf.clientID
	if id == "" && v5 {
		id = c.assignedID
	}
	in := newFrames(conn)
	ack, err := greet(ctx, conn, in, c.conf.hello(u, id, v5), v5, patience)
	if err != nil {
		_ = conn.Close() // the first error is reported
		if !answeredByRefusal(err) {
			c.broker(u).unsure = true
		}
		return nil, err
	}
	return newSession(c.conf, c.log, c.broker(u), u.Redacted(), v5, conn, in, ack), nil
}

// answeredByRefusal reports whether the broker answered a CONNECT with a refusal.
func answeredByRefusal(err error) bool {
	var other *otherVersionError
	if errors.As(err, &other) {
		return other.explicit
	}
	return errors.As(err, new(*reasonError)) || errors.As(err, new(*unknownCodeError))
}

// isPermanent reports whether retrying soon cannot help.
func isPermanent(err error) bool {
	var refused *refusedError
	if errors.As(err, &refused) {
		return true
	}
	var reason *reasonError
	if !errors.As(err, &reason) {
		return false
	}
	switch reason.code {
	case 0x85, 0x86, 0x87, 0x8a, 0x8c, 0x9c, 0x9d:
		return true
	}
	return false
}
