package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// connector makes sessions. It remembers what it has learned about the brokers.
// One goroutine uses it.
type connector struct {
	conf *config
	log  logger
	qos2 *qos2

	known      map[string]*known // by URL
	assignedID string
	subscribed bool // a session of this process was subscribed
	warned     map[string]bool
	generation int // how many sessions brokers have begun
}

// known is what earlier connections told about a broker.
type known struct {
	speaks5 bool
	only3   bool
}

func newConnector(conf *config, log logger) *connector {
	return &connector{
		conf: conf, log: log, qos2: newQoS2(),
		known: make(map[string]*known), warned: make(map[string]bool),
	}
}

// warn logs a warning once in the life of the process.
func (c *connector) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !c.warned[text] {
		c.warned[text] = true
		c.log.Warnf("%s", text)
	}
}

// connect tries the brokers in turn and returns the first session that works.
func (c *connector) connect(ctx context.Context) (*session, error) {
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

// allFailed is what became of the attempts to connect to each broker.
type allFailed struct{ errs []error }

func (e *allFailed) Unwrap() []error { return e.errs }

func (e *allFailed) Error() string {
	texts := make([]string, len(e.errs))
	for i, err := range e.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// session connects to one broker and subscribes where that is needed.
//
// The first connection of a process subscribes even where the broker has kept
// the session, because the filters may have been changed since.
func (c *connector) session(ctx context.Context, u *url.URL) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.conf.connectTimeout)
	defer cancel()
	s, err := c.open(ctx, u)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("no answer within %s, the %s", c.conf.connectTimeout, fieldConnectTimeout)
	}
	if err != nil {
		return nil, err
	}
	c.notice(s)
	if !s.connack.sessionPresent {
		c.qos2.clear()
		c.generation++
	}
	s.generation = c.generation
	if err := s.start(ctx, !c.subscribed || !s.connack.sessionPresent); err != nil {
		s.close()
		c.qos2.forget(s.mailbox.rest())
		return nil, err
	}
	c.subscribed = true
	return s, nil
}

// notice logs what the broker grants less of than was asked for.
func (c *connector) notice(s *session) {
	if id := s.connack.assignedID; id != "" && !c.conf.cleanSession {
		c.assignedID = id
	}
	if e := s.connack.expiry; e != nil && *e < c.conf.sessionExpiry {
		c.warn("The broker keeps the session for %s only: what it holds for a client that is away longer is lost", time.Duration(*e)*time.Second)
	}
	if c.subscribed && !c.conf.cleanSession && !s.connack.sessionPresent {
		c.log.Warnf("The broker at %s has not kept our session: what it held for us is lost; it subscribes anew", s.address)
	}
}

// open dials a broker and greets it, under MQTT 3.1.1 where it does not speak
// MQTT 5.
func (c *connector) open(ctx context.Context, u *url.URL) (*session, error) {
	k := c.known[u.String()]
	if k == nil {
		k = new(known)
		c.known[u.String()] = k
	}
	auto := c.conf.version == versionAuto
	if c.conf.version == version311 || auto && k.only3 {
		return c.openAs(ctx, u, false, c.conf.connectTimeout)
	}
	patience := c.conf.connectTimeout
	if auto && !k.speaks5 {
		patience = min(patience/2, silence)
	}
	s, err := c.openAs(ctx, u, true, patience)
	if err == nil {
		k.speaks5 = true
		return s, nil
	}
	var other *otherVersionError
	// A broker that spoke MQTT 5 before and hangs up now has another reason.
	if !errors.As(err, &other) || !auto || k.speaks5 && !other.explicit {
		return nil, err
	}
	s, old := c.openAs(ctx, u, false, c.conf.connectTimeout)
	if old != nil {
		var reason *reasonError
		k.only3 = errors.As(old, &reason)
		if other.explicit || k.only3 {
			return nil, old
		}
		return nil, fmt.Errorf("%w, and on MQTT 3.1.1: %w", err, old)
	}
	k.only3 = true
	c.warn("The broker at %s %s on MQTT 5: this input speaks MQTT 3.1.1 with it from now on, without the properties of MQTT 5", u.Redacted(), other.how)
	return s, nil
}

func (c *connector) openAs(ctx context.Context, u *url.URL, v5 bool, patience time.Duration) (*session, error) {
	conn, err := dial(ctx, u, c.conf.tls)
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
		_ = conn.Close() // the first error is the one to tell
		return nil, err
	}
	return newSession(c.conf, c.log, c.qos2, u.Redacted(), v5, conn, in, ack), nil
}

// stubborn says whether an error is of those that trying again soon will not
// mend.
func stubborn(err error) bool {
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
