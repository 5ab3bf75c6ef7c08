package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// links knows when the client could not connect to a broker.
type links struct{ failed atomic.Pointer[time.Time] } // nil since a success

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (l *links) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil:
		l.failed.Store(nil)
	case errors.Is(err, context.Canceled): // given up by us
	default:
		now := time.Now()
		l.failed.Store(&now)
	}
}

// brokenSince says whether the last attempt to connect failed, after that time.
func (l *links) brokenSince(then time.Time) bool {
	failed := l.failed.Load()
	return failed != nil && failed.After(then)
}

// sign is a question to brokers whether they are there.
type sign struct {
	done chan struct{} // closed when err is set
	err  error
}

// ping waits for a sign of life of any broker, so long at most. The client makes
// a request wait for the ones before it to the same broker, whatever its context
// says: for a connection that is being dialled into the void, or for one that
// answers nothing. So the question may outlive its asker, and the next one waits
// for the same answer.
func (p *producer) ping(ctx context.Context, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	sign := p.ask()
	select {
	case <-sign.done:
		if !errors.Is(sign.err, context.DeadlineExceeded) {
			return sign.err
		}
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return fmt.Errorf("no answer within %s", patience)
}

// ask returns the question that is open, or a new one. It ends with the client
// at the latest.
func (p *producer) ask() *sign {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sign != nil {
		return p.sign
	}
	asked := &sign{done: make(chan struct{})}
	started := p.goBesideLocked("asking Kafka for a sign of life", func() {
		ctx, cancel := context.WithTimeout(p.client.Context(), p.conf.requestOverhead)
		defer cancel()
		asked.err = p.client.Ping(ctx)
		p.mu.Lock()
		p.sign = nil
		p.mu.Unlock()
		close(asked.done)
	})
	if !started {
		asked.err = kgo.ErrClientClosed
		close(asked.done)
		return asked
	}
	p.sign = asked
	return asked
}
