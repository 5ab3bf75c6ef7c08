package mqtt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/tests/logtext"
	"github.com/robustmq/robustmq-connect/tests/sink"
)

// numbered returns n messages numbered from first.
func numbered(first, n int) (batch service.MessageBatch) {
	for i := range n {
		batch = append(batch, service.NewMessage(strconv.AppendInt(nil, int64(first+i), 10)))
	}
	return batch
}

// expelling is a broker that ends the connection at some messages.
type expelling struct {
	*sink.Sink
	code   byte // of its DISCONNECT, 0 without one
	lazy   bool // it loses the answers to the messages before
	window int
	at     []int
}

func (e *expelling) listen(t *testing.T) {
	t.Helper()
	var err error
	e.Sink, err = sink.Listen(sink.Options{Keep: true, Lazy: e.lazy, ReceiveMaximum: uint16(e.window), Expel: func(m sink.Message) (bool, byte) {
		n, err := strconv.Atoi(m.Payload)
		return err == nil && slices.Contains(e.at, n), e.code
	}})
	require.NoError(t, err)
	t.Cleanup(e.Close)
}

// others checks that all others of n messages have arrived, in order apart from
// repetitions.
func (e *expelling) others(t *testing.T, n int, qos string) {
	t.Helper()
	require.NoError(t, e.Problem())
	var want, got []string
	for i := range n {
		if !slices.Contains(e.at, i) {
			want = append(want, strconv.Itoa(i))
		}
	}
	last := -1
	for _, m := range e.Messages() {
		i, err := strconv.Atoi(m.Payload)
		require.NoError(t, err)
		if i > last {
			got, last = append(got, m.Payload), i
		} else {
			require.NotEqual(t, "2", qos, "a message of QoS 2 came twice")
		}
	}
	require.Equal(t, want, got)
}

// discards are the messages that the log names, apart from those that it left out.
func discards(log *logtext.Text) int {
	return strings.Count(log.String(), "Discarded a message")
}

const discarding = "\nfailure_strategy: discard"

func TestOutputIsolatesTheMessageAtWhichABrokerEndsTheConnection(t *testing.T) {
	for _, version := range []string{version5, version311} {
		for _, code := range []byte{0, 0x82, 0x95} {
			if version == version311 && code != 0 {
				continue
			}
			for _, at := range []int{0, 1, 7, 19} {
				for _, lazy := range []bool{false, true} {
					t.Run(fmt.Sprintf("MQTT %s code %02x at %d lazy %t", version, code, at, lazy), func(t *testing.T) {
						e := &expelling{code: code, lazy: lazy, window: 10, at: []int{at}}
						e.listen(t)
						out, log := outputTo(t, e.URL(), fmt.Sprintf("topic: a\nprotocol_version: '%s'\nmax_in_flight_publishes: 10", version)+discarding)
						delivers(t, out, numbered(0, 20), numbered(20, 5))
						e.others(t, 25, "1")
						require.NoError(t, out.Close(t.Context()))
						require.Equal(t, 1, discards(log), "%s", log)
						require.Contains(t, log.String(), fmt.Sprintf(`publishing message %d of 20 to the topic \"a\": the broker ended the connection each time that it got this message alone`, at+1))
					})
				}
			}
		}
	}
}

// Culprits are at any places of any windows, and the broker may lose the answers to what
// came before them.
func TestOutputIsolatesAnyMessages(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 14))
			const n = 60
			e := &expelling{code: []byte{0, 0, 0x82, 0x95, 0x90, 0x99}[r.IntN(6)], lazy: r.IntN(2) == 0, window: 1 + r.IntN(40)}
			for range 1 + r.IntN(3) {
				e.at = append(e.at, r.IntN(n))
			}
			slices.Sort(e.at)
			e.at = slices.Compact(e.at)
			version, qos := []string{version5, version311}[r.IntN(2)], strconv.Itoa(1+r.IntN(2))
			e.listen(t)
			out, _ := outputTo(t, e.URL(), fmt.Sprintf("topic: a\nprotocol_version: '%s'\nqos: %s\nclean_session: false\nmax_in_flight_publishes: %d", version, qos, e.window)+discarding)
			var batches []service.MessageBatch
			for first := 0; first < n; {
				size := min(1+r.IntN(30), n-first)
				batches = append(batches, numbered(first, size))
				first += size
			}
			delivers(t, out, batches...)
			require.NoError(t, out.Close(t.Context()))
			e.others(t, n, qos)
			require.False(t, out.out.isolating())
			require.Empty(t, out.out.transfers)
		})
	}
}

// writeUntilHeld writes the batch, on one connection after the other, until the output
// holds it.
func writeUntilHeld(t *testing.T, out *output, batch service.MessageBatch) {
	t.Helper()
	for out.heldBy() == nil {
		require.ErrorIs(t, out.WriteBatch(t.Context(), batch.Copy()), service.ErrNotConnected)
		if out.heldBy() == nil {
			require.NoError(t, connectAgain(out))
		}
	}
}

func TestOutputHoldsTheMessageAtWhichABrokerEndsTheConnection(t *testing.T) {
	e := &expelling{window: 10, at: []int{3}}
	e.listen(t)
	out, log := outputTo(t, e.URL(), "topic: a\nfailure_strategy: block")
	require.NoError(t, connectAgain(out))
	batch := numbered(0, 5)
	writeUntilHeld(t, out, batch)
	require.ErrorContains(t, out.heldBy(), `publishing message 4 of 5 to the topic "a": the broker ended the connection each time that it got this message alone: the broker closed the connection`)
	e.others(t, 5, "1")
	require.ErrorContains(t, out.Connect(t.Context()), "message 4 of 5", "it is not ready, and says why")
	before := len(e.Messages())
	for range 3 {
		require.NoError(t, connectAgain(out))
		require.ErrorIs(t, out.WriteBatch(t.Context(), batch.Copy()), service.ErrNotConnected)
		require.ErrorContains(t, out.heldBy(), "message 4 of 5", "one end is enough for a message that was the cause before")
	}
	require.Len(t, e.Messages(), before, "the others are not repeated")
	require.Contains(t, log.String(), "Publishing one message at a time, to find the one that it does not take")
}

func TestOutputWritesTheDeadLetterOfAMessageThatEndsTheConnection(t *testing.T) {
	e := &expelling{code: 0x95, window: 10, at: []int{1, 3}}
	e.listen(t)
	out, _ := outputTo(t, e.URL(), "topic: '${! if content() == \"4\" { \"b\" } else { \"a\" } }'\nfailure_strategy: { strategy: dead_message_queue, topic_name: dead, retry_total_times: 2, wait_time_ms: 0 }")
	require.NoError(t, connectAgain(out))
	// The broker does not take the letters either, which have the same payloads.
	batch := numbered(0, 5)
	writeUntilHeld(t, out, batch)
	require.ErrorContains(t, out.heldBy(), `publishing message 2 of 5 to the topic "a": the broker ended the connection each time that it got this message alone: the broker ended the connection: packet too large (0x95)`)
	require.ErrorContains(t, out.heldBy(), `writing it to the dead letter topic "dead": the broker ended the connection`)
	e.others(t, 5, "1")
}

// What ends connections is the broker, and not a message: nothing is discarded.
func TestOutputBlamesNoMessageForABrokerThatRestarts(t *testing.T) {
	t.Run("before it answers a ping", func(t *testing.T) {
		b := newScripted(t)
		out, log := outputTo(t, b.url(), "topic: a"+discarding)
		batch := numbered(0, 3)
		for i := range 12 {
			p := joins(t, b, out, false)
			done := writes(out, batch.Copy())
			if i < enoughEnds {
				p.sees(true, false, "0", "1", "2")
			} else {
				require.Equal(t, frame{typePingreq << 4, []byte{}}.String(), p.read().String(), "nothing is sent before the connection has proved itself")
			}
			lostOver(t, p, done)
		}
		p := joins(t, b, out, false)
		done := writes(out, batch.Copy())
		p.read()
		p.write([]byte{typePingresp << 4, 0})
		for _, payload := range []string{"0", "1", "2"} {
			ids := p.sees(true, false, payload)
			p.silent(10e6)
			p.write(acks(typePuback, ids...))
		}
		require.NoError(t, wait(t, done))
		done = writes(out, numbered(3, 2))
		p.write(acks(typePuback, p.sees(true, false, "3", "4")...)) // both at once again
		require.NoError(t, wait(t, done))
		require.Zero(t, discards(log))
		leaves(t, out, p)
	})
	t.Run("and is away for a while", func(t *testing.T) {
		b := newScripted(t)
		out, log := outputTo(t, b.url(), "topic: a\nprotocol_version: '5'"+discarding)
		batch := numbered(0, 2)
		for i := range 12 {
			begun := make(chan error, 1)
			go func() { begun <- connectAgain(out) }()
			if i%2 == 1 {
				b.accept().conn.Close() // no CONNACK: a proxy accepts for a broker that is away
			}
			p := b.accept()
			p.welcome5(false, false)
			require.NoError(t, wait(t, begun))
			done := writes(out, batch.Copy())
			p.publishesOrPings()
			lostOver(t, p, done)
		}
		require.Zero(t, discards(log))
		require.NotEmpty(t, out.out.transfers)
	})
}

// publishesOrPings reads what the output sends first, and answers a ping, so that it
// publishes.
func (p *peer) publishesOrPings() {
	p.t.Helper()
	if f := p.read(); f.first>>4 == typePingreq {
		p.write([]byte{typePingresp << 4, 0})
		f = p.read()
		require.Equal(p.t, byte(typePublish), f.first>>4, "want a PUBLISH, got %s", f)
	}
}

func TestEndsOfConnectionsThatBlameNoMessage(t *testing.T) {
	reason := func(code byte) error { return fmt.Errorf("the broker ended the connection: %w", ReasonError(code, "")) }
	for _, code := range []byte{0x8b, 0x89, 0x8e, 0x8d, 0x98, 0x9c, 0xa0, 0x00} {
		require.Zero(t, endWeight(reason(code)), "%#x", code)
	}
	for _, err := range []error{errClosed, errSilent, errDelivers, &unansweredError{1, 1}, &packetError{reasonProtocol, "x"}} {
		require.Zero(t, endWeight(err), "%v", err)
	}
	require.Equal(t, enoughEnds, endWeight(reason(0x95)))
	require.Equal(t, 1, endWeight(reason(0x82)))
	require.Equal(t, 1, endWeight(errHungUp))
}
