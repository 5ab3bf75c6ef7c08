package mqtt

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func TestInputBackPressure(t *testing.T) {
	_, p, in, _ := connected(t, "max_pending_bytes: 64KiB\nmax_batch_messages: 10\nkeepalive: 1")
	payload := string(make([]byte, 1000))
	written := make(chan error, 1)
	const total = 20_000
	go func() {
		for range total / 100 {
			var chunk []byte
			for range 100 {
				chunk = append(chunk, publish("a/b", 0, 0, payload)...)
			}
			if _, err := p.conn.Write(chunk); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	s := in.current()
	require.Eventually(t, s.suspended.Load, patience, time.Millisecond)
	// A PINGRESP cannot be seen behind unread data. Pings continue.
	for range 3 {
		require.Equal(t, "c0 ", p.read().String())
	}
	s.mailbox.mu.Lock()
	held := s.mailbox.bytes
	s.mailbox.mu.Unlock()
	require.Less(t, held, 64<<10+2*largestReadBuffer)
	payloads, _ := readN(t, in, total)
	require.Len(t, payloads, total)
	require.NoError(t, wait(t, written))
	require.Same(t, s, in.current())
	require.NoError(t, s.reason())
}

// User properties use more memory than they have bytes in a packet. They count as
// pending with their payload.
func TestUserPropertiesCountAsPending(t *testing.T) {
	const n = 30
	b := newScripted(t)
	in, _ := started(t, b.url(), "clean_session: false\nmax_pending_bytes: 10KiB")
	p := b.joined5(background(in), false, true)
	s := in.current()
	for id := range uint16(n) { // without properties, all of them fit
		p.write(publish5("a/b", 1, id+1, nil, "x"))
	}
	require.Eventually(t, func() bool { arrived, _ := s.inflight.progress(); return arrived == n }, patience, time.Millisecond)
	require.False(t, s.suspended.Load())
	readN(t, in, n)

	property := append([]byte{propUserProperty}, append(text("k"), text("v")...)...)
	for id := range uint16(n) {
		p.write(publish5("a/b", 1, n+id+1, bytes.Repeat(property, 18), "x"))
	}
	require.Eventually(t, s.suspended.Load, patience, time.Millisecond)
	payloads, _ := readN(t, in, n)
	require.Len(t, payloads, n)
}

func TestInputDisconnectsFromASilentBroker(t *testing.T) {
	_, p, in, l := connected(t, "keepalive: 2")
	require.Equal(t, "c0 ", p.read().String())
	p.write([]byte{0xd0, 0})
	require.Equal(t, "c0 ", p.read().String())
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Len(t, l.Lines("does not answer pings"), 1)
}

// NATS repeats its whole unacknowledged window every 30 s, Moquette every 5 s. After an
// hour without Kafka that is more copies than messages.
func TestInputDropsCopiesOfMessagesInFlight(t *testing.T) {
	_, p, in, _ := connected(t, "")
	duplicate := func(topic string, id uint16, payload string) []byte {
		packet := publish(topic, 1, id, payload)
		packet[0] |= 8
		return packet
	}
	p.write(publish("a/b", 1, 1, "one"), publish("a/b", 1, 2, "two"))
	_, acks := readN(t, in, 2)
	p.write(duplicate("a/b", 1, "one"), duplicate("a/b", 2, "two"))
	p.write(duplicate("a/other", 1, "of another topic"), publish("a/b", 1, 3, "three"), duplicate("a/b", 4, "a first delivery may have DUP"))
	payloads, more := readN(t, in, 3)
	require.Equal(t, []string{"of another topic", "three", "a first delivery may have DUP"}, payloads)
	ackAll(t, append(acks, more...), nil)
	for _, id := range []uint16{1, 2, 1, 3, 4} {
		require.Equal(t, ackOf(typePuback, id), p.read().String())
	}
	p.write(duplicate("a/b", 1, "the identifier is free again"))
	payloads, more = readN(t, in, 1)
	require.Equal(t, []string{"the identifier is free again"}, payloads)
	ackAll(t, more, nil)
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	p.silent(20 * time.Millisecond)
}

// rumqttd answers no ping while its window is full. While the pipeline finishes
// nothing, that does not mean that the broker is dead.
func TestInputKeepsABrokerThatWaitsForAcknowledgements(t *testing.T) {
	_, p, in, l := connected(t, "keepalive: 1")
	p.write(publish("a/b", 1, 1, "x"))
	_, acks := readN(t, in, 1)
	require.Equal(t, "c0 ", p.read().String())
	time.Sleep(3 * time.Second) // three times the limit for an answer
	require.Empty(t, l.Lines("Lost the connection"))
	ackAll(t, acks, nil)
	for f := p.read(); f.String() != ackOf(typePuback, 1); f = p.read() {
		require.Equal(t, "c0 ", f.String())
	}
	untilLost(t, in)
	require.Len(t, l.Lines("does not answer pings"), 1, "from then on the broker is silent")
}

// A broker with a large backlog sends it before its SUBACK. Connect must not wait for
// an answer that cannot be read before the pipeline takes messages.
func TestInputReadsABacklogSentBeforeTheSuback(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311+"max_pending_bytes: 10KiB")
	done := background(in)
	p := b.accept()
	require.Equal(t, byte(4), p.version())
	p.write([]byte{0x20, 2, 1, 0})
	p.read()
	const total = 2000
	go func() {
		var all []byte
		for i := range total {
			all = append(all, publish("a/b", 1, uint16(i+1), strconv.Itoa(i))...)
		}
		_, _ = p.conn.Write(append(all, 0x90, 3, 0xff, 0xff, 1)) // the reader reports errors
	}()
	require.NoError(t, wait(t, done))
	_, acks := readN(t, in, total)
	ackAll(t, acks, nil)
	for i := range total {
		require.Equal(t, ackOf(typePuback, uint16(i+1)), p.read().String())
	}
	wait(t, in.current().subscribed)
}

func TestInputStallWarning(t *testing.T) {
	_, p, in, l := connected(t, "stall_warning: 50ms")
	p.write(publish("a/slow", 1, 1, "x"), publish("a/b", 1, 2, "y"))
	_, acks := readN(t, in, 2)
	in.monitor.countRejections(errors.New("kafka is unavailable"))
	require.Eventually(t, func() bool { return len(l.Lines("kafka is unavailable")) == 1 }, patience, time.Millisecond)
	require.Len(t, l.Lines("a/slow"), 1)
	time.Sleep(100 * time.Millisecond) // a second line would come by now
	require.Len(t, l.Lines("a/slow"), 1)
	ackAll(t, acks, nil)
}

// Acknowledgements are written in order and complete, even if the socket does not
// accept them at once.
func TestInputAcknowledgesToASlowBroker(t *testing.T) {
	_, p, in, _ := connected(t, "")
	require.NoError(t, p.conn.(*net.TCPConn).SetReadBuffer(64<<10))
	const total = 200_000
	go func() {
		for id := 1; id <= total; id += 100 {
			var chunk []byte
			for k := range 100 {
				chunk = append(chunk, publish("a/b", 1, uint16((id+k)%65535+1), "x")...)
			}
			if _, err := p.conn.Write(chunk); err != nil {
				return
			}
		}
	}()
	go func() {
		for {
			_, ack, err := in.ReadBatch(context.Background())
			if err != nil {
				return
			}
			_ = ack(context.Background(), nil)
		}
	}()
	require.NoError(t, p.conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	for id := 1; id <= total; id++ {
		first, body, _, err := p.in.next()
		require.NoError(t, err)
		require.Equal(t, ackOf(typePuback, uint16(id%65535+1)), frame{first, body}.String())
		p.in.done(body)
		if id%50_000 == 0 {
			time.Sleep(50 * time.Millisecond) // the acknowledgements fill the socket
		}
	}
}
