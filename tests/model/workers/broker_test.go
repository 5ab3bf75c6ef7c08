package workers

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/robustmq/robustmq-connect/tests/seeds"
)

// broker is the MQTT broker. It keeps its sessions while it is away.
type broker struct {
	mqtt.HookBase

	server *mqtt.Server
	gate   *gate
	log    *seeds.Journal

	mu        sync.Mutex
	live      map[string]*session    // by client id
	takeovers map[string][]time.Time // by one worker from another
	given     map[string][]string    // the client ids that got a message, by topic and payload
}

// session is a live connection.
type session struct {
	client *mqtt.Client
	worker string
	since  time.Time
}

func startBroker(n *network, always *gate, log *seeds.Journal) (*broker, error) {
	b := &broker{
		server: mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true}),
		gate:   newGate(), log: log, live: map[string]*session{}, takeovers: map[string][]time.Time{},
		given: map[string][]string{},
	}
	listener := n.listen(brokerAddress, func(client *gate) *gate {
		if client == always {
			return always
		}
		return b.gate
	})
	for _, hook := range []mqtt.Hook{new(auth.AllowHook), b} {
		if err := b.server.AddHook(hook, nil); err != nil {
			return nil, err
		}
	}
	if err := b.server.AddListener(listeners.NewNet("tcp", listener)); err != nil {
		return nil, err
	}
	return b, b.server.Serve()
}

func (b *broker) close() {
	b.gate.set(away) // the server would wait for a connection that has sent nothing
	_ = b.server.Close()
}

func (b *broker) ID() string { return "model" }

func (b *broker) Provides(what byte) bool {
	return bytes.IndexByte([]byte{mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnQosPublish, mqtt.OnPacketRead, mqtt.OnPacketEncode}, what) >= 0
}

// OnSessionEstablish is called before a session is taken over. A worker may do that with
// its own: the broker has not read yet that the connection before has ended.
func (b *broker) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	existing, ok := b.server.Clients.Get(cl.ID)
	if !ok || existing.Closed() || existing.Net.Remote == cl.Net.Remote {
		return
	}
	b.log.Add("broker: %s takes %s over from %s", cl.Net.Remote, cl.ID, existing.Net.Remote)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takeovers[cl.ID] = append(b.takeovers[cl.ID], time.Now())
}

func (b *broker) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	b.log.Add("broker: %s connects as %s", cl.Net.Remote, cl.ID)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live[cl.ID] = &session{client: cl, worker: cl.Net.Remote, since: time.Now()}
}

// aside is added to the packet identifiers of SUBSCRIBE. This broker refuses one with the
// identifier of a message that it has sent itself, though MQTT keeps these apart.
const aside = 1 << 15

func (b *broker) OnPacketRead(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Subscribe {
		pk.PacketID += aside
	}
	return pk, nil
}

func (b *broker) OnPacketEncode(_ *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Suback {
		pk.PacketID -= aside
	}
	return pk
}

// OnQosPublish is called when a session gets a message, and again when it is repeated.
func (b *broker) OnQosPublish(cl *mqtt.Client, pk packets.Packet, _ int64, _ int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if message := pk.TopicName + " " + string(pk.Payload); !slices.Contains(b.given[message], cl.ID) {
		b.given[message] = append(b.given[message], cl.ID)
	}
}

// receivers are the clients that got a message.
func (b *broker) receivers(topic string, number int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.given[topic+" "+strconv.Itoa(number)]
}

func (b *broker) OnDisconnect(cl *mqtt.Client, err error, _ bool) {
	b.log.Add("broker: %s disconnects as %s: %v", cl.Net.Remote, cl.ID, err)
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.live[cl.ID]; s != nil && s.client == cl {
		delete(b.live, cl.ID)
	}
}

// running returns the live connection of a client that is subscribed, nil if there is
// none.
func (b *broker) running(id string) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.live[id]
	if s == nil || s.client.State.Subscriptions.Len() == 0 {
		return nil
	}
	return s
}

// remembers reports whether there is a session of a client.
func (b *broker) remembers(id string) bool {
	_, ok := b.server.Clients.Get(id)
	return ok
}

// takenOver counts the takeovers of a client since a time.
func (b *broker) takenOver(id string, since time.Time) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range b.takeovers[id] {
		if !at.Before(since) {
			n++
		}
	}
	return n
}

func (b *broker) publish(topic, payload string) error {
	return b.server.Publish(topic, []byte(payload), false, 1)
}

// problem returns what the broker itself did wrong, so that nothing can be concluded.
func (b *broker) problem() error {
	info := b.server.Info.Clone()
	if n := info.MessagesDropped + info.InflightDropped; n > 0 {
		return fmt.Errorf("the broker of the test dropped %d messages", n)
	}
	return nil
}
