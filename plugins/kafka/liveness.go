package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// connectFailures records when the client could not connect to a broker.
type connectFailures struct{ failed atomic.Pointer[time.Time] } // nil since a success

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (l *connectFailures) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil:
		l.failed.Store(nil)
	case errors.Is(err, context.Canceled): // we cancelled it
	default:
		now := time.Now()
		l.failed.Store(&now)
	}
}

// brokenSince reports whether the last attempt to connect failed, after that time.
func (l *connectFailures) brokenSince(then time.Time) bool {
	failed := l.failed.Load()
	return failed != nil && failed.After(then)
}

// handshakes records whether brokers answer the first request of a connection.
type handshakes struct {
	unanswered atomic.Pointer[string] // the broker that was asked last and has not answered
}

var errMute = errors.New("the broker accepts connections and does not answer the request ApiVersions")

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (h *handshakes) OnBrokerWrite(meta kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && kmsg.Key(key) == kmsg.ApiVersions {
		address := net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port)))
		h.unanswered.Store(&address)
	}
}

// OnBrokerRead implements kgo.HookBrokerRead. Any answer of any broker counts.
func (h *handshakes) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err == nil {
		h.unanswered.Store(nil)
	}
}

// mute returns an error if the broker that was asked last does not answer.
func (h *handshakes) mute() error {
	if address := h.unanswered.Load(); address != nil {
		return fmt.Errorf("%w (%s)", errMute, *address)
	}
	return nil
}

// pingResult is a running request that checks whether brokers answer.
type pingResult struct {
	done chan struct{} // closed when err is set
	err  error
}

// ping waits until any broker answers, for at most patience, and for half of it if the
// broker does not answer the first request of a connection. The client queues a
// request behind earlier ones to the same broker, regardless of the context: for
// example behind a connection attempt that gets no answer, or on a connection that no
// longer answers. So the request may outlive the caller, and the next caller waits for
// the same answer.
func (p *producer) ping(ctx context.Context, patience time.Duration) error {
	timer, early := time.NewTimer(patience), time.NewTimer(patience/2)
	defer timer.Stop()
	defer early.Stop()
	ping := p.startPing()
	for {
		select {
		case <-early.C:
			if err := p.handshakes.mute(); err != nil {
				return err
			}
			continue
		case <-ping.done:
			if !errors.Is(ping.err, context.DeadlineExceeded) {
				return ping.err
			}
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		return fmt.Errorf("no answer within %s", patience)
	}
}

// startPing returns the running request, or starts one. It ends with the client at the
// latest.
func (p *producer) startPing() *pingResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pinging != nil {
		return p.pinging
	}
	asked := &pingResult{done: make(chan struct{})}
	started := p.goBackgroundLocked("asking Kafka whether it answers", func() {
		ctx, cancel := context.WithTimeout(p.client.Context(), p.conf.requestOverhead)
		defer cancel()
		asked.err = p.client.Ping(ctx)
		p.mu.Lock()
		p.pinging = nil
		p.mu.Unlock()
		close(asked.done)
	})
	if !started {
		asked.err = kgo.ErrClientClosed
		close(asked.done)
		return asked
	}
	p.pinging = asked
	return asked
}
