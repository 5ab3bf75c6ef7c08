package mqtt

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

func listenAt(t *testing.T, address string) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return &scripted{t, ln}
}

// A broker that has kept a session sends messages together with the CONNACK.
func TestMessagesSentWithTheConnackHaveATimestamp(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311)
	done := background(in)
	p := b.accept()
	p.version()
	begun := time.Now()
	p.write([]byte{0x20, 2, 1, 0}, publish("a/b", 1, 1, "one"), publish("a/b", 0, 0, "two"))
	require.NoError(t, wait(t, done))
	var batch service.MessageBatch
	for len(batch) < 2 {
		more, _ := readBatch(t, in)
		batch = append(batch, more...)
	}
	for _, m := range batch {
		require.InDelta(t, begun.UnixMilli(), metadata(t, m)["mqtt_timestamp_ms"], float64(patience.Milliseconds()))
	}
	_, _, received := in.current().inflight.oldest()
	require.WithinDuration(t, begun, received, patience)
}

// A packet takes longer than keepalive, but bytes keep arriving.
func TestLargeMessageOverASlowLinkKeepsTheConnection(t *testing.T) {
	_, p, in, l := connected(t, "keepalive: 1")
	packet := publish("a/b", 1, 1, strings.Repeat("x", 200_000))
	go func() {
		for part := range slicesOf(packet, len(packet)/35) {
			if _, err := p.conn.Write(part); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	payloads, acks := readN(t, in, 1)
	require.Len(t, payloads[0], 200_000)
	ackAll(t, acks, nil)
	for f := p.read(); f.String() != ackOf(typePuback, 1); f = p.read() {
		require.Equal(t, "c0 ", f.String())
	}
	require.Empty(t, l.Lines("Lost"))
}

func slicesOf(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

// While the pipeline takes nothing, the input detects and replaces a lost connection
// without a request from the engine.
func TestLostConnectionIsReplacedWhileThePipelineIsStalled(t *testing.T) {
	b, p, in, l := connected(t, "max_pending_bytes: 10KiB")
	_, first := func() ([]string, []service.AckFunc) {
		p.write(publish("a/b", 1, 1, "with the pipeline"))
		return readN(t, in, 1)
	}()
	p.write(bytes.Repeat(publish("a/b", 1, 2, strings.Repeat("x", 1000)), 20), publish("a/b", 0, 0, "at most once"))
	s := in.current()
	require.Eventually(t, s.suspended.Load, patience, time.Millisecond)
	p.conn.Close()
	p = b.accept()
	p.welcome(true, false)
	require.Eventually(t, func() bool { return in.current() != s }, patience, time.Millisecond)
	require.Len(t, l.Lines("Lost the connection"), 1)
	p.write(publish("a/b", 1, 1, "with the pipeline"), publish("a/b", 1, 2, "again"))
	require.Eventually(t, func() bool { n, _ := in.current().inflight.progress(); return n == 2 }, patience, time.Millisecond)

	// The engine continues as if nothing had happened.
	ackAll(t, first, nil)
	payloads, acks := readN(t, in, 2)
	for len(payloads) < 2 || payloads[len(payloads)-1] != "again" {
		more, moreAcks := readN(t, in, 1)
		payloads, acks = append(payloads, more...), append(acks, moreAcks...)
	}
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	require.Equal(t, ackOf(typePuback, 2), p.read().String())
}

// A connection that is lost repeatedly while the pipeline takes nothing does not
// accumulate unread messages.
func TestUnreadMessagesOfLostConnectionsAreBounded(t *testing.T) {
	b, p, in, _ := connected(t, "max_pending_bytes: 10KiB")
	for rounds := 0; p != nil; rounds++ {
		require.Less(t, rounds, 20)
		s := in.current()
		p.write(bytes.Repeat(publish("a/b", 0, 0, strings.Repeat("x", 1000)), 20))
		require.Eventually(t, s.suspended.Load, patience, time.Millisecond)
		p.conn.Close()
		<-s.dead
		if p = b.tryAccept(300 * time.Millisecond); p != nil {
			p.welcome(true, false)
			require.Eventually(t, func() bool { return in.current() != s }, patience, time.Millisecond)
		}
	}
	in.mu.Lock()
	size := in.unreadSizeLocked()
	in.mu.Unlock()
	require.Less(t, size, 2*in.conf.maxPendingBytes+2*largestReadBuffer)

	// When the engine requests messages, there is a connection again.
	untilLost(t, in)
	done := background(in)
	b.accept().welcome(true, false)
	require.NoError(t, wait(t, done))
	readN(t, in, 20)
}

// A forbidden packet is refused with a reason, reported with the invalid bytes, and
// does not cause a tight loop when the broker sends it again each time.
func TestForbiddenPacketsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		packet []byte
		code   byte
		want   string
	}{
		"topic that is not UTF-8":         {publish5("a/\xff", 1, 1, nil, "x"), reasonMalformed, `malformed PUBLISH: the topic "a/\xff" is not UTF-8`},
		"topic with a surrogate":          {publish5("a/\xed\xa0\x80", 0, 0, nil, "x"), reasonMalformed, `the topic "a/\xed\xa0\x80" is not UTF-8`},
		"topic with U+0000":               {publish5("a/\x00", 1, 1, nil, "x"), reasonMalformed, `the topic "a/\x00" has the character U+0000`},
		"topic with +":                    {publish5("a/+", 1, 1, nil, "x"), reasonTopicInvalid, `a PUBLISH to the topic "a/+", which has a wildcard`},
		"topic with #":                    {publish5("#", 2, 1, nil, "x"), reasonTopicInvalid, `a PUBLISH to the topic "#", which has a wildcard`},
		"long topic":                      {publish5(strings.Repeat("y", 1000)+"+", 1, 1, nil, "x"), reasonTopicInvalid, `yyyyy"… (1001 bytes), which has a wildcard`},
		"DUP with QoS 0":                  {packet(0x38, text("a/b"), []byte{0}), reasonMalformed, "malformed PUBLISH: DUP with QoS 0"},
		"PUBREL with other flags":         {[]byte{0x60, 2, 0, 1}, reasonMalformed, "malformed PUBREL: its first byte is 0x60, not 0x62"},
		"PUBREL of one byte":              {[]byte{0x62, 1, 0}, reasonMalformed, "malformed PUBREL of 1 bytes"},
		"a packet that only clients send": {[]byte{0x82, 2, 0, 1}, reasonProtocol, "the broker sent a packet of type 8"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newScripted(t)
			in, l := started(t, b.url(), "clean_session: false")
			in.keeper.refusals = pace.Pace{First: 20 * time.Millisecond, Limit: 80 * time.Millisecond}
			done := background(in)
			var waits []time.Duration
			for round := range 5 {
				p := b.accept()
				p.welcome5(round > 0, true)
				if round == 0 {
					require.NoError(t, wait(t, done))
				}
				p.write(c.packet)
				require.Equal(t, []frame{{0xe0, []byte{c.code}}}, p.gone())
				err := in.Connect(t.Context())
				for err == nil { // it may have found the connection up
					err = in.Connect(t.Context())
				}
				require.ErrorContains(t, err, c.want)
				require.ErrorContains(t, err, "remove it there, or connect once with clean_session: true")
				var backOff *service.ErrBackOff
				require.ErrorAs(t, err, &backOff)
				waits = append(waits, backOff.Wait)
			}
			require.Len(t, l.Lines("Lost the connection"), 1)
			require.Less(t, waits[0], 25*time.Millisecond)
			require.GreaterOrEqual(t, waits[4], 40*time.Millisecond)
		})
	}
}

// The first message of a kept session may be a forbidden one.
func TestForbiddenPacketBeforeTheSubackIsRefused(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311)
	in.keeper.refusals = pace.Pace{First: 20 * time.Millisecond, Limit: time.Minute}
	done := background(in)
	p := b.accept()
	p.version()
	p.write([]byte{0x20, 2, 1, 0}, publish("a/#", 1, 1, "x"))
	err := wait(t, done)
	require.ErrorContains(t, err, `a PUBLISH to the topic "a/#", which has a wildcard: the broker sends it again on every connection`)
	p.conn.Close()
	began := time.Now()
	for range 4 { // the pauses grow: 20, 40, 80, 160 ms, random by a half
		p = b.accept()
		p.version()
		p.write([]byte{0x20, 2, 1, 0}, publish("a/#", 1, 1, "x"))
		p.gone()
	}
	require.Greater(t, time.Since(began), 100*time.Millisecond)
}

// A connection that fails to write may still be reading messages. If it has not been
// granted its filters either, it is not used, and the broker redelivers the messages.
func TestMessagesOfAConnectionThatIsNotUsedAreRedelivered(t *testing.T) {
	const n = 2000 // takes longer to read than the failed write to be noticed
	var first, again [][]byte
	for id := range uint16(n) {
		m := publish5("a/b", 2, id+1, nil, "one")
		first, again = append(first, m), append(again, bytes.Clone(m))
		again[id][0] |= 8 // DUP
	}
	b := newScripted(t)
	in, _ := started(t, b.url(), "protocol_version: '5'\nclean_session: false\nqos: 2")
	dial, dialled := in.conf.dial, 0
	in.conf.dial = func(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
		conn, err := dial(ctx, u, conf)
		if dialled++; dialled == 1 && err == nil {
			conn = &brokenWriting{Conn: conn, rest: bytes.Join(first, nil), read: make(chan struct{})}
		}
		return conn, err
	}
	_ = background(in)
	b.accept().welcome5(true, false)
	p := b.accept()
	p.welcome5(true, true)
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
	p.write(again...)
	_, acks := readN(t, in, n)
	ackAll(t, acks, nil)
	for id := range uint16(n) {
		require.Equal(t, ackOf(typePubrec, id+1), p.read().String())
	}
}

// The pipeline requests messages while the connection is lost: those that wait in memory
// are still to be redelivered.
func TestUnreadMessagesWaitForTheNextConnection(t *testing.T) {
	b, p, in, _ := connected(t, "")
	s, _, err := in.source()
	require.NoError(t, err)
	p.write(publish("a/b", 2, 1, "one"), publish("a/b", 0, 0, "two"))
	require.Eventually(t, func() bool { return s.mailbox.size() > 0 }, patience, time.Millisecond)
	p.conn.Close()
	p = b.accept() // once the messages have been collected
	require.Empty(t, in.takeUnread(s))
	p.welcome(true, false)
	p.write(publish("a/b", 2, 1, "one"))
	require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
	payloads, _ := readN(t, in, 2)
	require.ElementsMatch(t, []string{"one", "two"}, payloads)
	require.Never(t, func() bool { return in.current().mailbox.size() > 0 }, 20*time.Millisecond, time.Millisecond)
}

// brokenWriting is a connection that can write only CONNECT. After CONNACK it can read
// the rest, and only then the next write fails.
type brokenWriting struct {
	net.Conn
	writes, reads int
	rest          []byte
	read          chan struct{}
}

func (c *brokenWriting) Write(p []byte) (int, error) {
	if c.writes++; c.writes == 1 {
		return c.Conn.Write(p)
	}
	<-c.read
	return 0, io.ErrClosedPipe
}

func (c *brokenWriting) Read(p []byte) (int, error) {
	if c.reads++; c.reads == 1 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; n == 0 {
		return 0, io.EOF
	}
	if len(c.rest) == 0 {
		close(c.read)
	}
	return n, nil
}
