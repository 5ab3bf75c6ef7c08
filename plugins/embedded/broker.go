// Package embedded runs an MQTT broker and a Kafka in this process, for the demo and
// for tests. Both keep everything in memory and accept every client: they replace real
// servers on one machine and are not for production.
//
// It is part of the program, and not only of its tests, because `robustmq-connect demo`
// starts both.
package embedded

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Broker is an MQTT broker for 3.1, 3.1.1 and 5. It holds up to 8192 messages per
// client. It drops further ones, although it acknowledged them to the publisher: see
// Dropped.
type Broker struct {
	server *mqtt.Server
	ln     *listener
	subs   *subscriptions

	closeOnce sync.Once
}

// StartBroker starts a broker on addr, for example "127.0.0.1:1883". Port 0 selects a
// free port, which Addr returns. Every client is accepted and may publish and subscribe
// to everything. The hooks see what happens.
func StartBroker(addr string, hooks ...mqtt.Hook) (*Broker, error) {
	ln, err := listen("MQTT broker", addr)
	if err != nil {
		return nil, err
	}
	b := &Broker{
		server: mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)}),
		ln:     ln,
		subs:   newSubscriptions(),
	}
	if err := b.serve(hooks); err != nil {
		_ = ln.Close() // the first error is reported
		return nil, fmt.Errorf("starting the embedded MQTT broker on %s: %w", addr, err)
	}
	return b, nil
}

func (b *Broker) serve(hooks []mqtt.Hook) error {
	sessions := newSessions(b.server)
	all := slices.Concat([]mqtt.Hook{new(auth.AllowHook), b.subs}, hooks, []mqtt.Hook{sessions})
	for _, hook := range all {
		if err := b.server.AddHook(hook, nil); err != nil {
			return err
		}
	}
	if err := b.server.AddListener(newAcceptor(b.server, b.ln, sessions.gone)); err != nil {
		return err
	}
	return b.server.Serve()
}

// Addr returns the address the broker listens on, as host:port.
func (b *Broker) Addr() string { return b.ln.Addr().String() }

// URL returns the address in the form of MQTT clients: tcp://host:port.
func (b *Broker) URL() string { return "tcp://" + b.Addr() }

// Received counts the messages that clients have published.
func (b *Broker) Received() int64 { return b.server.Info.Clone().MessagesReceived }

// Sent counts the messages delivered to subscribers, including redelivered ones.
func (b *Broker) Sent() int64 { return b.server.Info.Clone().MessagesSent }

// InFlight returns the number of messages of QoS 1 and 2 that subscribers have not
// acknowledged yet.
func (b *Broker) InFlight() int64 { return b.server.Info.Clone().Inflight }

// Dropped counts the messages that were dropped because a subscriber was too slow. The
// broker had acknowledged them to their publisher.
func (b *Broker) Dropped() int64 {
	info := b.server.Info.Clone()
	return info.MessagesDropped + info.InflightDropped
}

// Connected returns the number of clients that are connected.
func (b *Broker) Connected() int64 { return b.server.Info.Clone().ClientsConnected }

// WaitSubscribed returns when a client is subscribed to exactly this filter: messages
// published after that reach it. It returns the context's error if the context ends
// first.
func (b *Broker) WaitSubscribed(ctx context.Context, filter string) error {
	for {
		live, changed := b.subs.lookup(filter)
		if live {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a subscription to %q: %w", filter, ctx.Err())
		}
	}
}

// Subscribed reports whether a client is subscribed to exactly this filter.
func (b *Broker) Subscribed(filter string) bool {
	live, _ := b.subs.lookup(filter)
	return live
}

// Close ends all connections and waits for their goroutines. It may be called more than
// once.
func (b *Broker) Close() {
	// The error would be a listener's, and ours returns none.
	b.closeOnce.Do(func() { _ = b.server.Close() })
}

// subscriptions counts the live subscriptions of each filter.
type subscriptions struct {
	mqtt.HookBase

	mu      sync.Mutex
	live    map[string]int
	changed chan struct{} // closed and replaced at each change
}

func newSubscriptions() *subscriptions {
	return &subscriptions{live: make(map[string]int), changed: make(chan struct{})}
}

func (*subscriptions) ID() string { return "subscriptions" }

func (*subscriptions) Provides(b byte) bool {
	return bytes.IndexByte([]byte{mqtt.OnSubscribed, mqtt.OnUnsubscribed}, b) >= 0
}

func (s *subscriptions) OnSubscribed(_ *mqtt.Client, pk packets.Packet, codes []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range pk.Filters {
		if i < len(codes) && codes[i] <= packets.CodeGrantedQos2.Code {
			s.live[f.Filter]++
		}
	}
	s.notifyLocked()
}

func (s *subscriptions) OnUnsubscribed(_ *mqtt.Client, pk packets.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range pk.Filters {
		if s.live[f.Filter]--; s.live[f.Filter] <= 0 {
			delete(s.live, f.Filter)
		}
	}
	s.notifyLocked()
}

func (s *subscriptions) notifyLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *subscriptions) lookup(filter string) (live bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[filter] > 0, s.changed
}
