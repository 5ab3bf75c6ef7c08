package mqtt

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInflightReleasesInOrderOfArrival(t *testing.T) {
	f := newInflight()
	require.Equal(t, uint64(1), f.add(entry{id: 10, qos: 1}, entry{id: 11, qos: 2}))
	require.Equal(t, uint64(3), f.add(entry{id: 12, qos: 1}))
	require.Empty(t, f.ack(nil, 2, 2))
	require.Equal(t, []byte{0x40, 2, 0, 10, 0x50, 2, 0, 11, 0x40, 2, 0, 12}, f.ack(nil, 1, 1))
	require.Empty(t, f.ack(nil, 1, 3), "a repeated acknowledgement")
	require.Empty(t, f.ack(nil, 4, 100), "unknown tickets")
	count, _, _ := f.oldest()
	require.Zero(t, count)
}

func TestInflightReturnsTheOldestMessage(t *testing.T) {
	f := newInflight()
	now := time.Now()
	f.add(entry{topic: "a", received: now}, entry{topic: "b", received: now.Add(1)})
	f.ack(nil, 1, 1)
	count, topic, received := f.oldest()
	require.Equal(t, 1, count)
	require.Equal(t, "b", topic)
	require.Equal(t, now.Add(1), received)
	f.discard()
	require.Empty(t, f.ack(nil, 2, 1))
	count, _, _ = f.oldest()
	require.Zero(t, count)
}

func TestInflightReleasesInOrderForAnyOrderOfAcks(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		f := newInflight()
		var open []span
		var out []byte
		next := 0
		for next < 500 || len(open) > 0 {
			if next < 500 && r.IntN(2) == 0 {
				entries := make([]entry, 1+r.IntN(20))
				for i := range entries {
					next++
					entries[i] = entry{id: uint16(next), qos: 1}
				}
				open = append(open, span{f.add(entries...), len(entries)})
				continue
			}
			if len(open) == 0 {
				continue
			}
			k := r.IntN(len(open))
			out = f.ack(out, open[k].ticket, open[k].count)
			open = append(open[:k], open[k+1:]...)
		}
		require.Len(t, out, next*4)
		for i := range next {
			require.Equal(t, appendAck(nil, typePuback, uint16(i+1)), out[i*4:i*4+4])
		}
	}
}

func messagesOf(sizes ...int) (all []message) {
	for i, size := range sizes {
		all = append(all, message{id: uint16(i + 1), size: size})
	}
	return all
}

func TestMailboxRespectsItsLimits(t *testing.T) {
	m := newMailbox(100)
	require.True(t, m.put(messagesOf(40, 40)))
	require.False(t, m.put(messagesOf(40)))
	got, open := m.take(1, 1000)
	require.True(t, open)
	require.Len(t, got, 1)
	require.Empty(t, m.room, "80 is above half of the limit")
	got, _ = m.take(10, 1)
	require.Len(t, got, 1, "one always")
	require.Len(t, m.room, 1)
	<-m.arrived
	got, _ = m.take(10, 50)
	require.Len(t, got, 1)
	got, open = m.take(10, 50)
	require.Empty(t, got)
	require.True(t, open)
}

func TestMailboxKeepsTheRestWhenClosed(t *testing.T) {
	m := newMailbox(100)
	m.put(messagesOf(1, 1, 1))
	got, _ := m.take(1, 100)
	require.Len(t, got, 1)
	m.close()
	_, open := m.take(10, 100)
	require.False(t, open)
	require.Len(t, m.takeRemaining(), 2)
	require.Empty(t, m.takeRemaining())
}

func TestTopicsStayBounded(t *testing.T) {
	names := newTopics(0)
	intern := func(name string) *topic {
		n, err := names.intern([]byte(name))
		require.NoError(t, err)
		require.Equal(t, name, n.name)
		require.Equal(t, any(name), n.boxed)
		return n
	}
	for i := range 3 * maxInterned {
		intern(strconv.Itoa(i))
		require.LessOrEqual(t, len(names.names), maxInterned)
	}
	known := intern("x")
	require.Same(t, known, intern("x"))
	for i := range 300 { // of the maximum length
		intern(strings.Repeat("x", 60_000) + strconv.Itoa(i))
		require.LessOrEqual(t, names.bytes, maxInternedBytes)
		total := 0
		for name := range names.names {
			total += len(name)
		}
		require.Equal(t, total, names.bytes)
	}
}

func TestArenaPayloadsDoNotOverlap(t *testing.T) {
	var a arena
	now := time.Now()
	first := a.copy([]byte("abc"), now)
	second := a.copy([]byte("def"), now)
	require.Equal(t, "abcX", string(append(first, 'X')))
	require.Equal(t, "def", string(second))
	require.NotNil(t, a.copy(nil, now))
	require.Len(t, a.copy(make([]byte, 100_000), now), 100_000)
}

func TestArenaOfABusyConnectionGrowsAndThatOfAQuietOneShrinks(t *testing.T) {
	var a arena
	payload, now := make([]byte, 1000), time.Now()
	for range 1000 {
		a.copy(payload, now)
	}
	require.Equal(t, largestArena, a.size)
	for range 1000 {
		now = now.Add(time.Second)
		a.copy(payload, now)
	}
	require.Equal(t, smallestArena, a.size)
	require.Len(t, a.copy(make([]byte, ownAllocSize), now), ownAllocSize, "larger than an allocation")
}
