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

// opener opens connections to the brokers of the URLs, for the input or the output, and
// remembers which version of MQTT each broker speaks. Only one goroutine uses it.
type opener struct {
	conf      *connection
	log       logger
	component string // for texts, such as: the input mqtt

	known      map[string]*dialect // by URL
	assignedID string
	warned     map[string]bool
}

// logger is the part of the engine's logger that a connection uses.
type logger interface {
	Warnf(format string, args ...any)
}

// dialect is what earlier connections learned about the broker at one URL.
type dialect struct {
	speaks5 bool
	only3   bool // it has explicitly refused MQTT 5
	// unsure means that the broker may have started a new session that we do not know
	// of: it got a CONNECT whose CONNACK did not arrive.
	unsure bool
}

func newOpener(conf *connection, log logger, component string) opener {
	return opener{
		conf: conf, log: log, component: component,
		known: make(map[string]*dialect), warned: make(map[string]bool),
	}
}

func (o *opener) dialect(u *url.URL) *dialect {
	d := o.known[u.String()]
	if d == nil {
		d = new(dialect)
		o.known[u.String()] = d
	}
	return d
}

// warn logs a warning once in the lifetime of the process.
func (o *opener) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !o.warned[text] {
		o.warned[text] = true
		o.log.Warnf("%s", text)
	}
}

// tryEach calls join for each URL until it returns no error. A call may last as long as
// connect_timeout.
func (o *opener) tryEach(ctx context.Context, join func(context.Context, *url.URL) error) error {
	var all []error
	for _, u := range o.conf.urls {
		err := o.timed(ctx, u, join)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		all = append(all, fmt.Errorf("connecting to %s: %w", u.Redacted(), err))
	}
	return &allFailed{all}
}

func (o *opener) timed(ctx context.Context, u *url.URL, join func(context.Context, *url.URL) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.conf.connectTimeout)
	defer cancel()
	return join(ctx, u)
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

// openGated is open behind the gate.
func (o *opener) openGated(ctx context.Context, u *url.URL, clean bool) (*line, error) {
	if err := o.conf.gate.Enter(ctx, u, o.conf.clientID, clean); err != nil {
		return nil, err
	}
	return o.open(ctx, u, clean)
}

// joined tells the gate that the broker has accepted a connection, which ends if the gate
// refuses it. The line has its user.
func (o *opener) joined(u *url.URL, l *line) error {
	err := o.conf.gate.Joined(u, o.conf.clientID, l.connack.sessionPresent)
	if err != nil {
		l.fail(errClosed)
	}
	return err
}

// open dials a broker and sends CONNECT. It falls back to MQTT 3.1.1 if
// the broker does not speak MQTT 5. Only a broker that refused MQTT 5 explicitly is not
// tried with it again: one that closed the connection or stayed silent may have been a
// load balancer without a backend. With clean, the broker starts a new session.
func (o *opener) open(ctx context.Context, u *url.URL, clean bool) (*line, error) {
	l, err := o.negotiate(ctx, u, clean)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("no answer within %s, the %s", o.conf.connectTimeout, fieldConnectTimeout)
	}
	if err != nil {
		return nil, err
	}
	if id := l.connack.assignedID; id != "" && !o.conf.cleanSession {
		o.assignedID = id
	}
	return l, nil
}

func (o *opener) negotiate(ctx context.Context, u *url.URL, clean bool) (*line, error) {
	d := o.dialect(u)
	auto := o.conf.version == versionAuto
	if o.conf.version == version311 || auto && d.only3 {
		return o.openAs(ctx, u, clean, false, o.conf.connectTimeout)
	}
	patience := o.conf.connectTimeout
	if auto && !d.speaks5 {
		patience = min(patience/2, silence)
	}
	l, err := o.openAs(ctx, u, clean, true, patience)
	if err == nil {
		d.speaks5 = true
		return l, nil
	}
	var other *otherVersionError
	// A broker that spoke MQTT 5 before has another reason to close the connection now.
	if !errors.As(err, &other) || !auto || d.speaks5 && !other.explicit {
		return nil, err
	}
	d.only3 = other.explicit
	l, old := o.openAs(ctx, u, clean, false, o.conf.connectTimeout)
	if old != nil {
		var reason *reasonError
		if other.explicit || errors.As(old, &reason) {
			return nil, old
		}
		return nil, fmt.Errorf("%w, and on MQTT 3.1.1: %w", err, old)
	}
	how := "on this connection, without the properties of MQTT 5, and tries MQTT 5 again on the next. If the broker does not speak it, set protocol_version: 3.1.1"
	if d.only3 {
		how = "with it from now on, without the properties of MQTT 5"
	}
	o.warn("The broker at %s %s on MQTT 5: %s speaks MQTT 3.1.1 %s", u.Redacted(), other.how, o.component, how)
	return l, nil
}

func (o *opener) openAs(ctx context.Context, u *url.URL, clean, v5 bool, patience time.Duration) (*line, error) {
	conn, err := o.conf.dial(ctx, u, o.conf.tls)
	if err != nil {
		return nil, neterror.WithoutLocalPort(err)
	}
	id := o.conf.clientID
	if id == "" && v5 {
		id = o.assignedID
	}
	in := newFrames(conn)
	ack, err := greet(ctx, conn, in, o.conf.hello(u, id, v5, clean), v5, patience)
	if err != nil {
		_ = conn.Close() // the first error is reported
		if !answeredByRefusal(err) {
			o.dialect(u).unsure = true
		}
		return nil, err
	}
	return newLine(o.conf, o.component, u.Redacted(), v5, conn, in, ack), nil
}

// answeredByRefusal reports whether the broker answered a CONNECT with a refusal.
func answeredByRefusal(err error) bool {
	var other *otherVersionError
	if errors.As(err, &other) {
		return other.explicit
	}
	return errors.As(err, new(*reasonError)) || errors.As(err, new(*unknownCodeError))
}

// probe connects to a broker and disconnects again.
func (o *opener) probe(ctx context.Context, ready func(*line) user) error {
	return o.tryEach(ctx, func(ctx context.Context, u *url.URL) error {
		l, err := o.open(ctx, u, o.conf.cleanSession)
		if err != nil {
			return err
		}
		l.user = ready(l)
		l.running.Go(func() { l.writeLoop(nil, nil) })
		l.close()
		return nil
	})
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
