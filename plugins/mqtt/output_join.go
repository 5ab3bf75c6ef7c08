package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

// joiner makes the connections of the output, one after the other. The engine calls
// Connect from one goroutine at a time, so it needs no lock.
type joiner struct {
	opener
	conf *outputConfig
	out  *outbox

	retries       pace.Pace // between attempts to connect
	rejoins       pace.Pace // between a connection that achieved nothing and the next
	permanentWait time.Duration
	failed        reported

	isolating bool // of the outbox, when the last connection had ended

	at      string // the URL whose session the outbox continues, "" for none
	answers int    // of the outbox when the last connection began
}

func newJoiner(c *outputConfig, out *outbox, log logger) *joiner {
	return &joiner{
		opener: newOpener(&c.connection, log, "the output mqtt"),
		conf:   c, out: out,
		retries:       pace.Pace{First: 200 * time.Millisecond, Limit: 3 * time.Second},
		rejoins:       pace.Pace{First: 200 * time.Millisecond, Limit: 5 * time.Second},
		permanentWait: permanentWait,
	}
}

// join connects to the first broker that accepts the connection.
func (j *joiner) join(ctx context.Context) (p *publishing, err error) {
	err = j.tryEach(ctx, func(ctx context.Context, u *url.URL) error {
		p, err = j.joinAt(ctx, u)
		return err
	})
	return p, err
}

// joinAt connects to one broker. Only the session that the last connection of this
// process used is continued. Any other may hold messages of which this process does not
// know, and the broker would take new ones for those.
func (j *joiner) joinAt(ctx context.Context, u *url.URL) (*publishing, error) {
	fresh := j.conf.cleanSession || j.at != u.String()
	l, err := j.openGated(ctx, u, fresh)
	if err == nil && fresh && !j.conf.cleanSession && !l.v5 {
		// With MQTT 3.1.1 a session that is begun clean ends with its connection.
		j.leave(l)
		l, err = j.open(ctx, u, false)
		fresh = true
	}
	if err != nil {
		return nil, err
	}
	p := newPublishing(l, j.out, j.conf)
	if err := j.joined(u, l); err != nil {
		return nil, err
	}
	d := j.dialect(u)
	unsure := d.unsure
	d.unsure = false
	j.at = u.String()
	j.notice(p, fresh)
	j.answers = j.out.answered()
	p.start(j.termsOf(l), !fresh && l.connack.sessionPresent, unsure)
	return p, nil
}

// leave ends a connection that was not used.
func (*joiner) leave(l *line) {
	l.user = idle{}
	l.running.Go(func() { l.writeLoop(nil, nil) })
	l.close()
}

// idle is the user of a line that is not used.
type idle struct{}

func (idle) ended()            {}
func (idle) mayBeSilent() bool { return false }
func (idle) pinging()          {}
func (idle) wrote()            {}

func (j *joiner) notice(p *publishing, fresh bool) {
	if !fresh && !p.connack.sessionPresent {
		j.log.Warnf("The broker at %s has not kept the session: messages of QoS 2 that were in flight may arrive twice", p.address)
	}
	if !p.v5 && (j.conf.messages.properties || j.conf.messages.metadata != nil) && j.conf.version != version311 {
		j.warn("The broker at %s speaks MQTT 3.1.1: messages are published without the properties of MQTT 5", p.address)
	}
}

// Connect returns nil when there is a connection. Otherwise it returns the reason, at
// once if it is new and then from time to time: the engine logs each.
func (o *output) Connect(ctx context.Context) error {
	j := o.joiner
	if err := o.awaitRetry(ctx); err != nil {
		return err
	}
	for {
		p, closed := o.current()
		switch {
		case closed:
			return service.ErrEndOfInput
		case p != nil && !p.closing.Load():
			return nil
		}
		if p != nil {
			p.close()
		}
		wait, err := o.join(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if j.failed.mustReport(err.Error()) {
			return service.NewErrBackOff(err, wait)
		}
		if err := pace.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// join makes a connection the current one, or returns why not and how long to wait.
func (o *output) join(ctx context.Context) (wait time.Duration, err error) {
	j := o.joiner
	p, err := j.join(ctx)
	if err != nil {
		if refusal, ok := errors.AsType[*reasonError](err); !ok || !refusal.connect {
			j.out.excuse()
		}
		if isPermanent(err) {
			return j.permanentWait, err
		}
		return j.retries.Next(), err
	}
	if !o.useConnection(p) {
		p.leave()
		return 0, nil
	}
	if j.failed.text != "" {
		o.log.Infof("Connected to %s", p.address)
	}
	j.failed = reported{}
	j.retries.Reset()
	return 0, nil
}

// awaitRetry deals with the reason for which Connect is called: a connection that was lost,
// or a batch that is held. It returns the reason if it is to be reported, and otherwise
// waits until it is time for another attempt.
func (o *output) awaitRetry(ctx context.Context) error {
	j := o.joiner
	if held := o.heldBy(); held != nil {
		wait := o.holds.Next()
		if j.failed.mustReport(held.Error()) {
			return service.NewErrBackOff(held, wait)
		}
		return pace.Sleep(ctx, wait)
	}
	p, closed := o.current()
	if p == nil || closed || !p.closing.Load() {
		return nil
	}
	lost := p.reason()
	p.close()
	if !o.removeConnection(p) {
		return nil
	}
	err := fmt.Errorf("connecting to %s: %w%s", p.address, lost, o.inFlight())
	if now := j.out.isolating(); now != j.isolating {
		j.isolating = now
		if now {
			o.log.Warnf("The broker at %s has ended connections with the same messages in flight: %v. Publishing one message at a time, to find the one that it does not take", p.address, lost)
		}
	}
	if lasting := time.Since(p.began) > stableAfter || j.out.answered() != j.answers; lasting {
		j.rejoins.Reset()
		o.log.Errorf("Lost the connection to %s: %v. Connecting again", p.address, lost)
		return nil
	}
	wait := j.rejoins.Next()
	if isPermanent(lost) || errors.Is(lost, errDelivers) || errors.As(lost, new(*packetError)) {
		wait = j.permanentWait
	}
	if j.failed.mustReport(err.Error()) {
		return service.NewErrBackOff(err, wait)
	}
	return pace.Sleep(ctx, wait)
}

// inFlight names the message that may be the cause of the end of a connection.
func (o *output) inFlight() string {
	if topic := o.out.first(); topic != "" {
		return fmt.Sprintf("; the first message in flight is to the topic %q", topic)
	}
	return ""
}
