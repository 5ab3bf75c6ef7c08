package mqtt

import (
	"context"
	"net/url"
	"sync/atomic"
	"time"
)

// brokers opens the sessions of the input with the brokers of the URLs, and remembers
// what it has learned about each. Only one goroutine uses it.
type brokers struct {
	opener
	conf       *config
	sessions   map[string]*broker // by URL
	generation int                // how many sessions have begun
}

// broker is what earlier connections learned about the session at one URL.
type broker struct {
	*dialect
	// generation identifies the session: connections share it if the broker kept the
	// session between them. 0 before the first.
	generation int
	// subscribed means that the session has all filters. The reading goroutine of a
	// connection sets it.
	subscribed atomic.Bool
	qos2       *qos2
}

func newBrokers(conf *config, log logger) *brokers {
	return &brokers{
		opener: newOpener(&conf.connection, log, "the input mqtt"),
		conf:   conf, sessions: make(map[string]*broker),
	}
}

func (c *brokers) broker(u *url.URL) *broker {
	b := c.sessions[u.String()]
	if b == nil {
		b = &broker{dialect: c.dialect(u), qos2: newQoS2()}
		c.sessions[u.String()] = b
	}
	return b
}

// connect tries the brokers in turn and returns the first working session.
func (c *brokers) connect(ctx context.Context) (s *session, err error) {
	err = c.tryEach(ctx, func(ctx context.Context, u *url.URL) error {
		s, err = c.session(ctx, u)
		return err
	})
	return s, err
}

// session connects to one broker and subscribes if needed.
func (c *brokers) session(ctx context.Context, u *url.URL) (*session, error) {
	l, err := c.openGated(ctx, u, c.conf.cleanSession)
	if err != nil {
		return nil, err
	}
	s := newSession(c.conf, c.log, c.broker(u), l)
	if err := c.joined(u, l); err != nil {
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
