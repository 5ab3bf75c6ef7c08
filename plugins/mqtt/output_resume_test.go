package mqtt

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const kept = "topic: a/b\nclean_session: false\n"

// lostOver cuts the connection of a WriteBatch and checks that it returns ErrNotConnected.
func lostOver(t *testing.T, p *peer, done chan error) {
	t.Helper()
	require.NoError(t, p.conn.Close())
	require.ErrorIs(t, wait(t, done), service.ErrNotConnected)
}

// clean reports whether the next connection begins a new session, and accepts it.
func (b *scripted) clean(present bool) (p *peer, clean bool) {
	b.t.Helper()
	p = b.accept()
	f := p.read()
	require.Equal(b.t, byte(0x10), f.first)
	flags := f.body[7]
	answer := []byte{0x20, 2, 0, 0}
	if f.body[6] == 5 {
		answer = []byte{0x20, 3, 0, 0, 0}
	}
	if present {
		answer[2] = 1
	}
	p.write(answer)
	return p, flags&2 != 0
}

func TestOutputSendsWhatIsNotAcknowledgedAgain(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept)
	p := joins(t, b, out, false)
	batch := batchFrom("0", "1", "2", "3")
	done := writes(out, batch)
	ids := p.sees(true, false, "0", "1", "2", "3")
	p.write(acks(typePuback, ids[1]))
	require.Eventually(t, func() bool { return out.out.answered() == 1 }, patience, 1e6)
	lostOver(t, p, done)

	p = joins(t, b, out, true)
	done = writes(out, batch.Copy())
	again := p.sees(true, true, "0", "2", "3")
	require.Equal(t, []uint16{ids[0], ids[2], ids[3]}, again)
	p.write(acks(typePuback, again...))
	require.NoError(t, wait(t, done))

	done = writes(out, batchFrom("4"))
	p.write(acks(typePuback, p.sees(true, false, "4")...))
	require.NoError(t, wait(t, done))
	leaves(t, out, p)
}

func TestOutputSendsEachMessageOfQoS2OnceOverReconnects(t *testing.T) {
	for _, version := range []string{version5, version311} {
		v5 := version == version5
		b := newScripted(t)
		out, _ := outputTo(t, b.url(), kept+"qos: 2\nprotocol_version: '"+version+"'")
		begun := make(chan error, 1)
		go func() { begun <- connectAgain(out) }()
		p, clean := b.clean(false)
		require.True(t, clean, "the session of another process is never continued")
		if !v5 { // a clean session of MQTT 3.1.1 does not outlive its connection
			p.gone()
			p, clean = b.clean(false)
			require.False(t, clean)
		}
		require.NoError(t, wait(t, begun))
		batch := batchFrom("0", "1", "2")
		done := writes(out, batch)
		ids := p.sees(v5, false, "0", "1", "2")
		p.write(acks(typePubrec, ids[0], ids[1]))
		require.Equal(t, ackOf(typePubrel, ids[0]), p.read().String())
		require.Equal(t, ackOf(typePubrel, ids[1]), p.read().String())
		p.write(acks(typePubcomp, ids[0]))
		require.Eventually(t, func() bool { return out.out.answered() == 3 }, patience, 1e6)
		lostOver(t, p, done)

		go func() { begun <- connectAgain(out) }()
		p, clean = b.clean(true)
		require.False(t, clean)
		require.NoError(t, wait(t, begun))
		done = writes(out, batch.Copy())
		require.Equal(t, ackOf(typePubrel, ids[1]), p.read().String(), "the broker has it: only PUBREL")
		require.Equal(t, ids[2:], p.sees(v5, true, "2"))
		p.write(acks(typePubcomp, ids[1]), acks(typePubrec, ids[2]))
		require.Equal(t, ackOf(typePubrel, ids[2]), p.read().String())
		p.write(acks(typePubcomp, ids[2]))
		require.NoError(t, wait(t, done))
		leaves(t, out, p)
	}
}

// The broker has lost its half: what it had received is lost with it, or was passed on.
// A repeated message is better than a lost one.
func TestOutputSendsAllAgainIfTheSessionIsLost(t *testing.T) {
	b := newScripted(t)
	out, log := outputTo(t, b.url(), kept+"qos: 2")
	p := joins(t, b, out, false)
	batch := batchFrom("0", "1")
	done := writes(out, batch)
	ids := p.sees(true, false, "0", "1")
	p.write(acks(typePubrec, ids[0]))
	require.Equal(t, ackOf(typePubrel, ids[0]), p.read().String())
	lostOver(t, p, done)

	p = joins(t, b, out, false)
	done = writes(out, batch.Copy())
	ids = p.sees(true, false, "0", "1")
	p.write(acks(typePubrec, ids...))
	require.Equal(t, ackOf(typePubrel, ids[0]), p.read().String())
	require.Equal(t, ackOf(typePubrel, ids[1]), p.read().String())
	p.write(acks(typePubcomp, ids...))
	require.NoError(t, wait(t, done))
	require.Contains(t, log.String(), "has not kept the session: messages of QoS 2 that were in flight may arrive twice")
	leaves(t, out, p)
}

// A CONNECT without an answer may have begun a new session, of which the next CONNACK
// says that it is present.
func TestOutputRepeatsWhatTheBrokerMayHaveLost(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept+"qos: 2\nprotocol_version: '5'")
	p := joins(t, b, out, false)
	batch := batchFrom("0", "1")
	done := writes(out, batch)
	ids := p.sees(true, false, "0", "1")
	p.write(acks(typePubrec, ids...))
	for _, id := range ids {
		require.Equal(t, ackOf(typePubrel, id), p.read().String())
	}
	lostOver(t, p, done)

	begun := make(chan error, 1)
	go func() { begun <- connectAgain(out) }()
	p = b.accept()
	p.version()
	p.conn.Close() // without CONNACK
	p, clean := b.clean(true)
	require.False(t, clean)
	require.NoError(t, wait(t, begun))
	done = writes(out, batch.Copy())
	for _, id := range ids {
		require.Equal(t, ackOf(typePubrel, id), p.read().String())
	}
	p.write(acks(typePubcomp, ids[0]), refusal(typePubcomp, ids[1], 0x92))
	again := p.sees(true, false, "1")
	p.write(acks(typePubrec, again...))
	require.Equal(t, ackOf(typePubrel, again[0]), p.read().String())
	p.write(acks(typePubcomp, again...))
	require.NoError(t, wait(t, done))
	leaves(t, out, p)
}

// mosquitto ignored a PUBLISH whose identifier it still had from a message of before.
func TestOutputReleasesWhatTheEngineGaveUp(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept+"qos: 2")
	p := joins(t, b, out, false)
	done := writes(out, batchFrom("0", "1", "2"))
	ids := p.sees(true, false, "0", "1", "2")
	p.write(acks(typePubrec, ids[0]))
	require.Equal(t, ackOf(typePubrel, ids[0]), p.read().String())
	lostOver(t, p, done)

	p = joins(t, b, out, true)
	// The connection sends again what the engine has not given up yet.
	require.Equal(t, ackOf(typePubrel, ids[0]), p.read().String())
	p.sees(true, true, "1", "2")
	done = writes(out, batchFrom("another"))
	another := p.sees(true, false, "another")
	require.NotContains(t, ids, another[0])
	lostOver(t, p, done)

	p = joins(t, b, out, true)
	released := []string{p.read().String(), p.read().String(), p.read().String()}
	require.ElementsMatch(t, []string{ackOf(typePubrel, ids[0]), ackOf(typePubrel, ids[1]), ackOf(typePubrel, ids[2])}, released)
	require.Equal(t, another, p.sees(true, true, "another"))
	leaves(t, out, p)
}

// The broker may have the message of the connection before. It would ignore another one
// under the same identifier.
func TestOutputReleasesAMessageThatTheBrokerTakesNoMore(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept+"qos: 2")
	p := joins(t, b, out, false)
	batch := batchFrom("0")
	index := batch.Index()
	done := writes(out, batch)
	ids := p.sees(true, false, "0")
	lostOver(t, p, done)

	p = joins(t, b, out, true, 36, 1) // Maximum QoS 1
	require.Equal(t, ackOf(typePubrel, ids[0]), p.read().String())
	require.Contains(t, failures(t, index, wait(t, writes(out, batch)))[0], "QoS 2 exceeds the broker's Maximum QoS, 1")
	p.write(acks(typePubcomp, ids[0]))
	require.Eventually(t, func() bool { inFlight, _ := out.out.progress(); return inFlight == 0 }, patience, time.Millisecond)
	leaves(t, out, p)
}

// Nothing has been acknowledged, so the next connection has to wait.
func TestOutputTakesAnAnswerAboutNoMessageForNone(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept)
	p := joins(t, b, out, false)
	batch := batchFrom("0")
	done := writes(out, batch)
	ids := p.sees(true, false, "0")
	p.write(acks(typePuback, ids[0]+1, ids[0]+2), acks(typePubcomp, ids[0]+3))
	lostOver(t, p, done)
	require.ErrorContains(t, out.Connect(t.Context()), "the first message in flight is to the topic")

	p = joins(t, b, out, true)
	done = writes(out, batch)
	p.write(acks(typePuback, p.sees(true, true, "0")...))
	require.NoError(t, wait(t, done))
	leaves(t, out, p)
}

func TestOutputReturnsWhenItsContextEnds(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept)
	p := joins(t, b, out, false)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- out.WriteBatch(ctx, batchFrom("0")) }()
	p.sees(true, false, "0")
	cancel()
	require.ErrorIs(t, wait(t, done), context.Canceled)
	leaves(t, out, p)
}

func TestOutputEndsASessionThatNobodyContinues(t *testing.T) {
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), kept)
	p := joins(t, b, out, false)
	go func() { _ = out.Close(context.Background()) }()
	require.Equal(t, frame{typeDisconnect << 4, []byte{0, 5, 17, 0, 0, 0, 0}}.String(), p.read().String(), "the session expires at once")
	p.conn.Close()
}
