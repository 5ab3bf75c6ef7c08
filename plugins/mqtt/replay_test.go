package mqtt

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

var errRefused = errors.New("refused")

// refused returns the error of an output that rejected some messages of a batch.
func refused(batch service.MessageBatch, indexes ...int) error {
	err := service.NewBatchError(batch, errRefused)
	for _, i := range indexes {
		err = err.Failed(i, errRefused)
	}
	return err
}

// together reads n messages as one batch.
func together(t *testing.T, p *peer, in *input, packets ...[]byte) (service.MessageBatch, service.AckFunc) {
	t.Helper()
	p.write(packets...)
	require.Eventually(t, func() bool { n, _, _ := in.current().inflight.oldest(); return n == len(packets) }, patience, time.Millisecond)
	batch, ack := readBatch(t, in)
	require.Len(t, batch, len(packets))
	return batch, ack
}

func TestReplayComesBeforeNewerMessages(t *testing.T) {
	_, p, in, _ := connected(t, "")
	_, ack := together(t, p, in, publish("a/b", 1, 1, "one"), publish("a/b", 1, 2, "two"))
	p.write(publish("a/b", 1, 3, "three"))
	require.Eventually(t, func() bool { n, _, _ := in.current().inflight.oldest(); return n == 3 }, patience, time.Millisecond)
	require.NoError(t, ack(t.Context(), errRefused))
	payloads, acks := readN(t, in, 3)
	require.Equal(t, []string{"one", "two", "three"}, payloads)
	ackAll(t, acks, nil)
	for id := range uint16(3) {
		require.Equal(t, ackOf(typePuback, id+1), p.read().String())
	}
}

func TestReplayRepeatsOnlyTheRejectedMessages(t *testing.T) {
	_, p, in, _ := connected(t, "")
	batch, ack := together(t, p, in, publish("a/b", 1, 1, "one"), publish("a/b", 1, 2, "two"), publish("a/b", 2, 3, "three"))
	// A processor has changed, split and reordered the messages.
	changed := service.MessageBatch{batch[2].Copy(), batch[1].Copy(), batch[1].Copy(), batch[0].Copy()}
	changed[0].SetBytes([]byte("changed"))
	require.NoError(t, ack(t.Context(), refused(changed, 1)))
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	payloads, acks := readN(t, in, 1)
	require.Equal(t, []string{"two"}, payloads, "as it arrived")
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePuback, 2), p.read().String())
	require.Equal(t, ackOf(typePubrec, 3), p.read().String())
}

// A message that the error does not mention may be part of a rejected message that a
// processor merged.
func TestReplayRepeatsMessagesThatTheErrorDoesNotMention(t *testing.T) {
	_, p, in, _ := connected(t, "")
	batch, ack := together(t, p, in, publish("a/b", 1, 1, "one"), publish("a/b", 1, 2, "two"), publish("a/b", 1, 3, "three"))
	stranger := service.NewMessage([]byte("made by a processor"))
	require.NoError(t, ack(t.Context(), refused(service.MessageBatch{batch[0], batch[1], stranger}, 1)))
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	payloads, acks := readN(t, in, 2)
	require.Equal(t, []string{"two", "three"}, payloads)
	ackAll(t, acks, nil)
}

// After a reconnect the broker redelivers what it keeps. The input repeats only the
// rest.
func TestReplayAfterAReconnectRepeatsOnlyWhatTheBrokerDoesNot(t *testing.T) {
	for name, c := range map[string]struct {
		kept bool
		want []string
	}{
		"the session is kept": {true, []string{"zero", "two"}},
		"the session is lost": {false, []string{"one", "zero", "two"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, p, in, _ := connected(t, "")
			p.write(publish("a/b", 1, 1, "one"), publish("a/b", 0, 0, "zero"), publish("a/b", 2, 2, "two"))
			_, acks := readN(t, in, 3)
			p.conn.Close()
			<-in.current().dead
			ackAll(t, acks, errRefused)
			done := background(in)
			p = b.accept()
			p.welcome(c.kept, !c.kept)
			require.NoError(t, wait(t, done))
			payloads, acks := readN(t, in, len(c.want))
			require.Equal(t, c.want, payloads)
			if c.kept {
				p.write(publish("a/b", 1, 1, "one"), publish("a/b", 2, 2, "two"))
				payloads, more := readN(t, in, 1)
				require.Equal(t, []string{"one"}, payloads)
				ackAll(t, append(acks, more...), nil)
				require.Equal(t, ackOf(typePuback, 1), p.read().String())
				require.Equal(t, ackOf(typePubrec, 2), p.read().String())
			} else {
				ackAll(t, acks, nil)
				p.silent(20 * time.Millisecond)
			}
		})
	}
}

// A message of QoS 2 is rejected while the input is connected to another broker, and
// written there. The first broker expects its acknowledgement when the input returns.
func TestReplayAtAnotherBrokerIsAcknowledgedToTheFirst(t *testing.T) {
	one, other := newScripted(t), newScripted(t)
	in, _ := started(t, "'"+one.url()+","+other.url()+"'", v311)
	done := background(in)
	p := one.accept()
	p.welcome(false, true)
	require.NoError(t, wait(t, done))
	p.write(publish("a/b", 2, 7, "twice"), publish("a/b", 1, 8, "once"))
	_, acks := readN(t, in, 2)
	address := one.ln.Addr().String()
	one.ln.Close()
	p.conn.Close()
	p = other.accept()
	p.welcome(false, true)
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
	ackAll(t, acks, errRefused)
	payloads, acks := readN(t, in, 2)
	require.Equal(t, []string{"twice", "once"}, payloads)
	ackAll(t, acks, nil)
	p.silent(20 * time.Millisecond)

	one = listenAt(t, address)
	p.conn.Close()
	p = one.accept()
	p.welcome(true, false)
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
	p.write(publish("a/b", 2, 7, "twice"), publish("a/b", 1, 8, "once"))
	require.Equal(t, ackOf(typePubrec, 7), p.read().String())
	payloads, acks = readN(t, in, 1)
	require.Equal(t, []string{"once"}, payloads, "at least once")
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePuback, 8), p.read().String())
}

// The session is lost twice and kept in between: the broker has only the messages of
// the second session.
func TestReplayKnowsWhichSessionTheBrokerKept(t *testing.T) {
	b, p, in, _ := connected(t, "")
	p.write(publish("a/b", 1, 1, "one"))
	_, acks := readN(t, in, 1)
	for _, kept := range []bool{false, true} {
		p.conn.Close()
		<-in.current().dead
		done := background(in)
		p = b.accept()
		p.welcome(kept, !kept)
		require.NoError(t, wait(t, done))
	}
	ackAll(t, acks, errRefused)
	payloads, _ := readN(t, in, 1)
	require.Equal(t, []string{"one"}, payloads)
}

// A processor that keeps one message must not keep the payloads of all that arrived
// with it.
func TestReplayReleasesFinishedMessages(t *testing.T) {
	_, p, in, _ := connected(t, "")
	large := strings.Repeat("x", 100_000)
	batch, ack := together(t, p, in, publish("a/b", 1, 1, large), publish("a/b", 1, 2, "kept"))
	payload, err := batch[0].AsBytes()
	require.NoError(t, err)
	gone := weak.Make(&payload[0])
	payload = nil
	require.NoError(t, ack(t.Context(), refused(batch, 1)))
	kept := batch[1]
	require.Eventually(t, func() bool { runtime.GC(); return gone.Value() == nil }, patience, 10*time.Millisecond)
	payloads, acks := readN(t, in, 1)
	require.Equal(t, []string{"kept"}, payloads)
	ackAll(t, acks, nil)
	text, err := kept.AsBytes()
	require.NoError(t, err)
	require.Equal(t, "kept", string(text))
}

func TestReplayWaitGrowsWithEachFailure(t *testing.T) {
	var last time.Duration
	for attempts := 1; attempts < 20; attempts++ {
		wait := replay{attempts: attempts}.wait()
		require.GreaterOrEqual(t, wait, last)
		last = wait
	}
	require.Zero(t, replay{attempts: 2}.wait())
	require.Equal(t, time.Second, last)
}

func TestReplayEndsWithItsContext(t *testing.T) {
	_, p, in, _ := connected(t, "")
	p.write(publish("a/b", 1, 1, "one"))
	for range 14 {
		_, acks := readN(t, in, 1)
		ackAll(t, acks, errRefused)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := in.ReadBatch(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
