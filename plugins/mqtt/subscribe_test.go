package mqtt

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// A broker that loses the session and then fails before it grants the subscription
// holds an empty session, which it reports as present. An input that trusts that report
// never receives a message again.
func TestSubscribesAgainAfterASubscriptionThatFailed(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		fail func(t *testing.T, p *peer)
	}{
		"refused, MQTT 5":             {"protocol_version: '5'\nclean_session: false", func(t *testing.T, p *peer) { p.write(packet(0x90, p.read().body[:2], []byte{0, 0x87})) }},
		"refused, MQTT 3.1.1":         {v311, func(t *testing.T, p *peer) { p.write(packet(0x90, p.read().body[:2], []byte{0x80})) }},
		"cut before SUBACK, MQTT 5":   {"protocol_version: '5'\nclean_session: false", func(t *testing.T, p *peer) { p.read(); p.conn.Close() }},
		"cut before SUBACK, 3.1.1":    {v311, func(t *testing.T, p *peer) { p.read(); p.conn.Close() }},
		"no answer, MQTT 5":           {"protocol_version: '5'\nclean_session: false\nconnect_timeout: 1s", func(t *testing.T, p *peer) { p.read() }},
		"no answer, 3.1.1":            {v311 + "connect_timeout: 1s", func(t *testing.T, p *peer) { p.read() }},
		"cut before SUBSCRIBE, 3.1.1": {v311, func(t *testing.T, p *peer) { p.conn.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newScripted(t)
			in, _ := started(t, b.url(), c.yaml)
			go func() {
				for in.Connect(t.Context()) != nil && t.Context().Err() == nil { //nolint:revive // as the engine does
				}
			}()
			greet := func(p *peer, sessionPresent, subscribes bool) {
				if in.conf.version == version5 {
					p.welcome5(sessionPresent, subscribes)
				} else {
					p.welcome(sessionPresent, subscribes)
				}
			}
			p := b.accept()
			greet(p, false, true)
			require.Eventually(t, func() bool { return in.current() != nil }, patience, time.Millisecond)
			p.write(publishAs(in, "a/b", 1, "kept in memory"))
			require.Eventually(t, func() bool { n, _ := in.current().inflight.progress(); return n == 1 }, patience, time.Millisecond)
			p.conn.Close()

			p = b.accept()
			greet(p, false, false) // the session is lost
			c.fail(t, p)

			p = b.accept()
			greet(p, true, true) // the empty one is present, and subscribed to
			require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
			p.write(publishAs(in, "a/b", 1, "after"))
			payloads, acks := readN(t, in, 2)
			require.Equal(t, []string{"kept in memory", "after"}, payloads, "the broker does not redeliver the messages of a lost session")
			ackAll(t, acks, nil)
			require.Equal(t, ackOf(typePuback, 1), p.read().String())
		})
	}
}

// The CONNACK that reports the lost session does not arrive. The next one reports the
// empty session that the broker has started.
func TestSubscribesAgainAfterAConnackThatDidNotArrive(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311)
	go func() {
		for in.Connect(t.Context()) != nil && t.Context().Err() == nil { //nolint:revive // as the engine does
		}
	}()
	p := b.accept()
	p.welcome(false, true)
	require.Eventually(t, func() bool { return in.current() != nil }, patience, time.Millisecond)
	p.write(publish("a/b", 1, 1, "kept in memory"), publish("a/b", 2, 2, "kept too"))
	require.Eventually(t, func() bool { n, _ := in.current().inflight.progress(); return n == 2 }, patience, time.Millisecond)
	p.conn.Close()
	p = b.accept()
	p.version()
	p.conn.Close()
	p = b.accept()
	p.welcome(true, true)
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
	payloads, _ := readN(t, in, 2)
	require.Equal(t, []string{"kept in memory", "kept too"}, payloads)
	p.conn.Close()

	// A refusal starts no session.
	p = b.accept()
	p.version()
	p.write([]byte{0x20, 2, 0, 3})
	p = b.accept()
	p.welcome(true, false)
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
}

// publishAs encodes a PUBLISH of QoS 1 in the version that the input speaks.
func publishAs(in *input, topic string, id uint16, payload string) []byte {
	if in.conf.version == version5 {
		return publish5(topic, 1, id, nil, payload)
	}
	return publish(topic, 1, id, payload)
}

// Each broker has its own session: what one has kept says nothing about the other's.
func TestSessionsOfSeveralBrokersAreIndependent(t *testing.T) {
	one, other := newScripted(t), newScripted(t)
	in, _ := started(t, "'"+one.url()+","+other.url()+"'", v311)
	done := background(in)
	p := one.accept()
	p.welcome(false, true)
	require.NoError(t, wait(t, done))
	p.write(publish("a/b", 1, 1, "of one"))
	require.Eventually(t, func() bool { n, _ := in.current().inflight.progress(); return n == 1 }, patience, time.Millisecond)
	address := one.ln.Addr().String()
	one.ln.Close()
	p.conn.Close()

	// The other broker keeps a session of an earlier run, with other filters.
	p = other.accept()
	p.welcome(true, true)
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
	payloads, _ := readN(t, in, 1)
	require.Equal(t, []string{"of one"}, payloads, "the other broker does not send it again")

	// The input returns to the first broker, which has kept its session and its
	// subscription.
	one = listenAt(t, address)
	p.conn.Close()
	p = one.accept()
	p.welcome(true, false)
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
	p.write(publish("a/b", 1, 1, "of one"), publish("a/b", 1, 2, "more"))
	payloads, acks := readN(t, in, 2)
	require.Equal(t, []string{"of one", "more"}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
}

// On a kept session, rumqttd answers SUBSCRIBE only when the first message is
// acknowledged.
func TestSubackMayWaitForAcknowledgements(t *testing.T) {
	for _, yaml := range []string{v311 + "connect_timeout: 1s", "protocol_version: '5'\nclean_session: false\nconnect_timeout: 1s"} {
		b := newScripted(t)
		in, l := started(t, b.url(), yaml)
		done := background(in)
		p := b.accept()
		p.version()
		suback := []byte{1}
		if in.conf.version == version5 {
			p.write([]byte{0x20, 3, 1, 0, 0})
			suback = []byte{0, 1}
		} else {
			p.write([]byte{0x20, 2, 1, 0})
		}
		id := p.read().body[:2]
		p.write(publishAs(in, "a/b", 1, "one"), publishAs(in, "a/b", 2, "two"))
		require.NoError(t, wait(t, done), "ready with the first message")
		payloads, acks := readN(t, in, 2)
		require.Equal(t, []string{"one", "two"}, payloads)
		time.Sleep(1500 * time.Millisecond) // Kafka may take longer than connect_timeout
		require.Empty(t, l.Lines("Lost the connection"))
		ackAll(t, acks, nil)
		require.Equal(t, ackOf(typePuback, 1), p.read().String())
		require.Equal(t, ackOf(typePuback, 2), p.read().String())
		p.write(packet(0x90, id, suback))
		wait(t, in.current().subscribed)
		require.Empty(t, l.Lines("Lost the connection"))
		p.conn.Close()
		require.NoError(t, in.Close(t.Context()))
	}
}

// When nothing is left to acknowledge, the answer is due.
func TestSubackThatNeverComesEndsTheConnection(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), v311+"connect_timeout: 1s")
	done := background(in)
	p := b.accept()
	p.version()
	p.write([]byte{0x20, 2, 1, 0})
	p.read()
	p.write(publish("a/b", 1, 1, "one"))
	require.NoError(t, wait(t, done))
	_, acks := readN(t, in, 1)
	ackAll(t, acks, nil)
	untilLost(t, in)
	require.Len(t, l.Lines("does not answer the subscription"), 1)
}

func TestSubackThatRefusesAfterMessagesIsReported(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), v311)
	done := background(in)
	p := b.accept()
	p.version()
	p.write([]byte{0x20, 2, 1, 0})
	id := p.read().body[:2]
	p.write(publish("a/b", 1, 1, "one"))
	require.NoError(t, wait(t, done))
	p.write(packet(0x90, id, []byte{0x80}))
	untilLost(t, in)
	require.Len(t, l.Lines(`subscribing to \"a/#\"`), 1)
	err := in.Connect(t.Context())
	require.ErrorContains(t, err, `subscribing to "a/#": unspecified error (0x80): check the filter, and what the broker permits this user`)
	require.ErrorAs(t, err, new(*service.ErrBackOff))
	b.accept().welcome(true, true)
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
}

// With MQTT 5 every connection subscribes. It does not request retained messages if the
// session has the filter.
func TestEveryConnectionOfMQTT5Subscribes(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "protocol_version: '5'\nclean_session: false")
	for _, present := range []bool{false, true, true, false} {
		done := background(in)
		p := b.accept()
		p.welcome5(present, false)
		sub := p.subscribe5()
		require.Equal(t, map[bool]byte{false: 0, true: 1}[present], sub.Subscriptions[0].RetainHandling)
		p.write(packet(0x90, u16(sub.PacketID), []byte{0, 1}))
		require.NoError(t, wait(t, done))
		p.conn.Close()
		<-in.current().dead
	}
}
