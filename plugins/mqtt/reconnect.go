package mqtt

import (
	"context"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	// lasting is how long a connection holds that counts as sound.
	lasting = 10 * time.Second
	// stubbornWait is the time between attempts when somebody has to mend
	// something at the broker first.
	stubbornWait = 10 * time.Second
	// reminder is the time after which a failure is told again.
	reminder = 5 * time.Minute
)

// Connect connects to the first broker that answers. It returns an error when
// an attempt fails in another way than the last did; on the same failure again
// it goes on trying, because the engine logs every error.
func (i *input) Connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	old, err := i.open(cancel)
	if err != nil {
		return err
	}
	if old != nil {
		old.close()
		i.keep(old)
		if time.Since(old.began) > lasting {
			i.rejoins.reset()
		} else if err := sleep(ctx, i.rejoins.next()); err != nil {
			return i.canceled(err)
		}
	}
	for {
		s, err := i.connector.connect(ctx)
		if err == nil {
			return i.adopt(s)
		}
		if ctx.Err() != nil {
			return i.canceled(err)
		}
		wait := i.retries.next()
		if stubborn(err) {
			wait = stubbornWait
		}
		if text := err.Error(); text != i.lastFail || time.Since(i.toldAt) > reminder {
			i.lastFail, i.toldAt = text, time.Now()
			return service.NewErrBackOff(err, wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return i.canceled(err)
		}
	}
}

// open begins a Connect that cancel can end. It returns the session before.
func (i *input) open(cancel context.CancelFunc) (old *session, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, service.ErrEndOfInput
	}
	if i.cancel == nil {
		i.warnOfLoss()
		i.monitor.start()
	}
	i.cancel = cancel
	old, i.session = i.session, nil
	return old, nil
}

// canceled is the error of a Connect that was ended by Close or by its context.
func (i *input) canceled(err error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return service.ErrEndOfInput
	}
	return err
}

// keep takes what a dead connection left unread, until the next says whether the
// broker sends it again.
func (i *input) keep(old *session) {
	rest := old.mailbox.rest()
	i.connector.qos2.forget(rest)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.left = append(i.left, rest...)
}

// adopt makes a session the current one. Where the broker has kept the session,
// it sends again what was not acknowledged, so that only QoS 0 is left of what
// the connection before had brought.
func (i *input) adopt(s *session) error {
	if i.lastFail != "" {
		i.log.Infof("Connected to %s", s.address)
	}
	i.lastFail = ""
	i.retries.reset()
	i.mu.Lock()
	closed := i.closed
	if !closed {
		i.session = s
		i.left = stillOurs(i.left, s.connack.sessionPresent)
	}
	i.mu.Unlock()
	if closed {
		s.close()
		return service.ErrEndOfInput
	}
	return nil
}

func stillOurs(left []message, sentAgain bool) []message {
	kept := left[:0]
	for _, m := range left {
		if sentAgain && m.qos > 0 && !m.orphan {
			continue
		}
		m.ticket, m.delivery, m.orphan = 0, nil, true
		kept = append(kept, m)
	}
	clear(left[len(kept):])
	return kept
}

// warnOfLoss says when a reconnect cannot but lose messages.
func (i *input) warnOfLoss() {
	switch {
	case !i.conf.needsSession():
	case i.conf.cleanSession:
		i.log.Warnf("Messages that arrive at the broker while this input is away are lost, because clean_session is true. To keep them, set clean_session: false and a client_id that no other client uses")
	case !i.conf.stableID:
		i.log.Warnf("Messages that arrive at the broker between two runs are lost, because each run has another client id. To keep them, set a client_id that no other client uses, without dynamic_client_id_suffix")
	}
}
