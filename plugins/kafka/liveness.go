package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// connectFailures records when the client could not connect to a broker.
type connectFailures struct{ failed atomic.Pointer[time.Time] } // nil since a success

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (f *connectFailures) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil:
		f.failed.Store(nil)
	case errors.Is(err, context.Canceled): // we cancelled it
	default:
		now := time.Now()
		f.failed.Store(&now)
	}
}

// brokenSince reports whether the last attempt to connect failed, after that time.
func (f *connectFailures) brokenSince(then time.Time) bool {
	failed := f.failed.Load()
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

// link is one client of Kafka, with the goroutines that belong to it.
type link struct {
	of              *clientConfig
	client          *kgo.Client
	connectFailures connectFailures
	handshakes      handshakes

	mu         sync.Mutex
	pinging    *pingResult // nil unless a ping is running
	closed     bool
	background sync.WaitGroup // background goroutines of the client's owner
}

// newLink makes a client that connects as the configuration says.
func newLink(of *clientConfig, more ...kgo.Opt) (*link, error) {
	l := &link{of: of}
	client, err := kgo.NewClient(append(of.connection(), append(more, kgo.WithHooks(&l.connectFailures, &l.handshakes))...)...)
	if err != nil {
		return nil, fmt.Errorf("configuring the Kafka client: %w", err)
	}
	l.client = client
	return l, nil
}

// goBackground runs f in a goroutine that close waits for. f must end when the client's
// context does.
func (l *link) goBackground(doing string, f func()) (started bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.goBackgroundLocked(doing, f)
}

func (l *link) goBackgroundLocked(doing string, f func()) (started bool) {
	if l.closed {
		return false
	}
	l.background.Go(func() {
		defer l.of.guard.Catch(l.of.where + ", " + doing)
		f()
	})
	return true
}

// close gives up what is in flight.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.client.CloseAllowingRebalance()
	l.background.Wait()
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
func (l *link) ping(ctx context.Context, patience time.Duration) error {
	timer, early := time.NewTimer(patience), time.NewTimer(patience/2)
	defer timer.Stop()
	defer early.Stop()
	ping := l.startPing()
	for {
		select {
		case <-early.C:
			if err := l.handshakes.mute(); err != nil {
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
func (l *link) startPing() *pingResult {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pinging != nil {
		return l.pinging
	}
	asked := &pingResult{done: make(chan struct{})}
	started := l.goBackgroundLocked("asking Kafka whether it answers", func() {
		ctx, cancel := context.WithTimeout(l.client.Context(), l.of.requestOverhead)
		defer cancel()
		asked.err = pingAny(ctx, l.client)
		l.mu.Lock()
		l.pinging = nil
		l.mu.Unlock()
		close(asked.done)
	})
	if !started {
		asked.err = kgo.ErrClientClosed
		close(asked.done)
		return asked
	}
	l.pinging = asked
	return asked
}

// pingAny returns nil once any broker answers, or why the last one did not. Each is asked
// once. The client's own Ping has one request for all brokers, and a data race: when the
// client is closed, it asks the next broker while the former one still reads the request.
func pingAny(ctx context.Context, client *kgo.Client) (err error) {
	for _, broker := range slices.Concat(client.DiscoveredBrokers(), client.SeedBrokers()) {
		request := kmsg.NewPtrMetadataRequest()
		request.Topics = []kmsg.MetadataRequestTopic{}
		if _, err = broker.Request(ctx, request); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}
