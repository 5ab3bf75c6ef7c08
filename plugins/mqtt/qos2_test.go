package mqtt

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func TestInputDeliversQoS2ExactlyOnce(t *testing.T) {
	b, p, in, _ := connected(t, "")
	p.write(publish("a/b", 2, 1, "one"), publish("a/b", 2, 1, "one"), publish("a/b", 2, 2, "two"))
	payloads, acks := readN(t, in, 2)
	require.Equal(t, []string{"one", "two"}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 1), p.read().String())
	require.Equal(t, ackOf(typePubrec, 2), p.read().String())
	p.write(publish("a/b", 2, 1, "one"))
	require.Equal(t, ackOf(typePubrec, 1), p.read().String(), "a repeated PUBLISH gets another PUBREC")
	p.write(appendAck(nil, typePubrel, 1))
	require.Equal(t, ackOf(typePubcomp, 1), p.read().String())
	p.write(publish("a/b", 2, 1, "one"))
	payloads, acks = readN(t, in, 1)
	require.Equal(t, []string{"one"}, payloads, "after PUBREL the identifier is free")

	// After a reconnect: 2 was acknowledged, 1 is in the pipeline, 3 is new.
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.joined(done, true, false)
	p.write(publish("a/b", 2, 2, "two"), publish("a/b", 2, 1, "one"), publish("a/b", 2, 3, "three"))
	require.Equal(t, ackOf(typePubrec, 2), p.read().String())
	payloads, more := readN(t, in, 1)
	require.Equal(t, []string{"three"}, payloads)
	ackAll(t, more, nil)
	p.silent(50 * time.Millisecond)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 1), p.read().String())
	require.Equal(t, ackOf(typePubrec, 3), p.read().String())
	p.write(appendAck(nil, typePubrel, 99))
	require.Equal(t, ackOf(typePubcomp, 99), p.read().String(), "an unknown PUBREL is answered")
}

func TestInputQoS2RenumberedMessageIsANewMessage(t *testing.T) {
	b, p, in, _ := connected(t, "")
	p.write(publish("a/b", 2, 1, "one"))
	_, acks := readN(t, in, 1)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 1), p.read().String())
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.joined(done, true, false)
	p.write(publish("a/b", 2, 1, "other"))
	payloads, _ := readN(t, in, 1)
	require.Equal(t, []string{"other"}, payloads)
}

// One message of a batch is rejected: the others are acknowledged as far as the order
// allows, and only the rest is delivered again.
func TestInputPartialNackAcksTheOthers(t *testing.T) {
	b, p, in, _ := connected(t, "auto_replay_nacks: false")
	p.write(publish("a/b", 1, 1, "good"), publish("a/b", 2, 2, "good too"), publish("a/b", 1, 3, "bad"), publish("a/b", 2, 4, "behind"))
	require.Eventually(t, func() bool { n, _, _ := in.current().inflight.oldest(); return n == 4 }, patience, time.Millisecond)
	batch, ack := readBatch(t, in)
	require.Len(t, batch, 4)
	require.NoError(t, ack(t.Context(), service.NewBatchError(batch, errors.New("partly")).Failed(2, errors.New("too large"))))
	done := background(in)
	var got []string
	for _, f := range p.gone() {
		got = append(got, f.String())
	}
	require.Equal(t, []string{ackOf(typePuback, 1), ackOf(typePubrec, 2), "e0 "}, got)
	p = b.joined(done, true, false)
	p.write(publish("a/b", 1, 3, "bad"), publish("a/b", 2, 4, "behind"))
	payloads, acks := readN(t, in, 1)
	require.Equal(t, []string{"bad"}, payloads, "a finished message of QoS 2 is not delivered again")
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePuback, 3), p.read().String())
	require.Equal(t, ackOf(typePubrec, 4), p.read().String())
}

// The broker redelivers a message on a connection that is not adopted yet, because its
// SUBACK is late, and the pipeline finishes the message at that moment.
func TestInputQoS2AckBeforeTheNextConnectionIsReady(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "protocol_version: '5'\nclean_session: false")
	done := background(in)
	p := b.joined5(done, false, true)
	p.write(publish5("a/b", 2, 1, nil, "one"))
	_, acks := readN(t, in, 1)
	first := in.current()
	p.conn.Close()
	p = b.accept()
	p.welcome5(true, false)
	sub := p.subscribe5()
	p.write(publish5("a/b", 2, 1, nil, "one"))
	q := first.broker.qos2
	require.Eventually(t, func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.open[1].on != first && q.open[1].ticket > 0
	}, patience, time.Millisecond)
	require.Same(t, first, in.current(), "the next connection is not ready")
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 1), p.read().String())
	p.write(packet(0x90, u16(sub.PacketID), []byte{0, 2}))
	require.Eventually(t, func() bool { return in.current() != first }, patience, time.Millisecond)
}
