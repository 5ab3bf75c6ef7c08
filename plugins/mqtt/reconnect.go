package mqtt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

const (
	// stableAfter is how long a connection must last to count as stable.
	stableAfter = 10 * time.Second
	// permanentWait is the time between attempts when somebody has to change something
	// at the broker first.
	permanentWait = 10 * time.Second
	// repeatAfter is the time after which the same failure is reported again.
	repeatAfter = 5 * time.Minute
)

// keeper is the state of the goroutine that maintains the connection. Other goroutines
// use only stop.
type keeper struct {
	brokers  *brokers
	retries  pace.Pace // between attempts to connect
	rejoins  pace.Pace // between a connection that did not last and the next
	refusals pace.Pace // the same if the next connection will end for the same reason

	permanentWait time.Duration

	failed, lost reported

	ctx  context.Context //nolint:containedctx // of the goroutine, which outlives every call of the engine
	stop context.CancelFunc
}

func newKeeper(c *brokers) keeper {
	k := keeper{
		brokers:  c,
		retries:  pace.Pace{First: 200 * time.Millisecond, Limit: 3 * time.Second},
		rejoins:  pace.Pace{First: 200 * time.Millisecond, Limit: 5 * time.Second},
		refusals: pace.Pace{First: time.Second, Limit: time.Minute},

		permanentWait: permanentWait,
	}
	k.ctx, k.stop = context.WithCancel(context.Background())
	return k
}

// reported is the text that was reported last, so that a repeated one is reported only
// from time to time.
type reported struct {
	text string
	at   time.Time
}

// mustReport reports whether the text has to be reported.
func (r *reported) mustReport(text string) bool {
	if text == r.text && time.Since(r.at) < repeatAfter {
		return false
	}
	r.text, r.at = text, time.Now()
	return true
}

// begin starts the goroutine that maintains the connection, on the first Connect.
func (i *input) begin() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.begun || i.closed {
		return
	}
	i.begun = true
	i.warnOfLoss()
	i.monitor.start()
	i.running.Go(i.keep)
}

// keep connects, and reconnects when a connection has ended, until Close.
func (i *input) keep() {
	defer i.conf.guard.Catch("the input mqtt, connecting", func(err error) {
		if s := i.current(); s != nil {
			s.fail(err)
		}
	})
	ctx := i.keeper.ctx
	for {
		s := i.establish(ctx)
		if s == nil {
			return
		}
		i.useSession(s)
		select {
		case <-s.over:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			s.close()
			return
		}
		wait := i.sessionEnded(s)
		s.close()
		i.collect(s)
		if pace.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// establish retries until there is a connection. It returns nil after Close.
func (i *input) establish(ctx context.Context) *session {
	k := &i.keeper
	for {
		if !i.awaitRoom(ctx) {
			return nil
		}
		s, err := k.brokers.connect(ctx)
		if err == nil {
			return s
		}
		if ctx.Err() != nil {
			return nil
		}
		wait := k.retries.Next()
		switch {
		case isPermanent(err):
			wait = k.permanentWait
		case recurs(err): // before the broker has granted anything
			wait = k.refusals.Next()
			err = fmt.Errorf("%w%s", err, i.advice(err))
		}
		if k.failed.mustReport(err.Error()) {
			i.fail(err, wait)
		}
		if pace.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// fail passes the engine a reason why there is no connection. If the engine does not
// request one, it is logged at once.
func (i *input) fail(err error, wait time.Duration) {
	i.change(func() {
		i.failure = service.NewErrBackOff(err, wait)
		if !i.asked {
			i.log.Errorf("Failed to connect: %v", err)
		}
	})
}

// useSession makes a connection the current one. If the broker kept the session of an
// earlier one, it redelivers what that one had not acknowledged.
func (i *input) useSession(s *session) {
	k := &i.keeper
	if k.failed.text != "" {
		i.log.Infof("Connected to %s", s.address)
	}
	k.failed = reported{}
	k.retries.Reset()
	i.change(func() {
		i.session, i.up, i.failure = s, true, nil
		i.dropSentAgainLocked(s.generation)
	})
	i.monitor.resume() // messages may have arrived before it was current
}

// sessionEnded records that a connection has ended, and returns how long to wait before the
// next one.
func (i *input) sessionEnded(s *session) (wait time.Duration) {
	k := &i.keeper
	reason := s.reason()
	lasted := time.Since(s.began) > stableAfter
	if lasted {
		k.rejoins.Reset()
		k.refusals.Reset()
	}
	var failure error
	switch {
	case recurs(reason):
		wait = k.refusals.Next()
		failure = service.NewErrBackOff(fmt.Errorf("connecting to %s: %w%s", s.address, reason, i.advice(reason)), wait)
	case !lasted:
		wait = k.rejoins.Next()
	}
	if text := reason.Error(); k.lost.mustReport(text) || lasted {
		i.log.Errorf("Lost the connection to %s: %s. Connecting again", s.address, text)
	}
	i.change(func() { i.up, i.failure = false, failure })
	return wait
}

// recurs reports whether the reason that ended a connection will end the next one too.
func recurs(reason error) bool {
	return isPermanent(reason) || disconnectCode(reason) != 0
}

// advice says what to do when the broker sends what MQTT forbids.
func (i *input) advice(reason error) string {
	if !errors.As(reason, new(*packetError)) {
		return ""
	}
	if i.conf.cleanSession {
		return ": find out who publishes this, and remove it there; where the broker retains it, publish an empty retained message to its topic"
	}
	return ": the broker sends it again on every connection, as long as it keeps the message; remove it there, or connect once with clean_session: true, which discards all messages that wait for this client"
}

// warnOfLoss warns when a reconnect will lose messages.
func (i *input) warnOfLoss() {
	switch {
	case !i.conf.needsSession():
	case i.conf.cleanSession:
		i.log.Warnf("Messages that arrive at the broker while this input is away are lost, because clean_session is true. To keep them, set clean_session: false and a client_id that no other client uses")
	case !i.conf.stableID:
		i.log.Warnf("Messages that arrive at the broker between two runs are lost, because each run has another client id. To keep them, set a client_id that no other client uses, without dynamic_client_id_suffix")
	}
}
