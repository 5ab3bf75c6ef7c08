package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTwoReplaysAtTheSameTimeReplayEachLetterOnce(t *testing.T) {
	c := withDead(t, 3)
	const n = 300
	writeLetters(t, c.ListenAddrs(), "a", 0, n)
	var replayed atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for range 3 {
				result, err := lettersOf(t, c.ListenAddrs(), "a").Replay(t.Context(), Replay{})
				replayed.Add(int64(result.Replayed))
				if err != nil {
					// The newest goes on, and the others say so.
					assert.ErrorAs(t, err, new(*LetterError))
				}
			}
		})
	}
	workers.Wait()
	result, err := lettersOf(t, c.ListenAddrs(), "a").Replay(t.Context(), Replay{})
	require.NoError(t, err)
	assert.Equal(t, n, result.Replayed+result.Already)
	values := writtenValues(t, c.ListenAddrs(), "t")
	assert.ElementsMatch(t, numbers(0, n), values)
}

// A session is fenced by the next one, whatever it was about to do.
func TestASessionIsFencedByTheNextOne(t *testing.T) {
	c := withDead(t, 1)
	writeLetters(t, c.ListenAddrs(), "a", 0, 1)
	l := lettersOf(t, c.ListenAddrs(), "a")
	letter := written(t, c.ListenAddrs(), "dead")[0]
	first, err := l.openSession(t.Context(), "dead", kadm.TopicID{})
	require.NoError(t, err)
	defer first.close()
	second, err := l.openSession(t.Context(), "dead", kadm.TopicID{})
	require.NoError(t, err)
	defer second.close()
	err = first.write(t.Context(), []*kgo.Record{letter}, time.Now())
	require.ErrorAs(t, err, new(*LetterError))
	require.ErrorContains(t, err, "another replay of these dead letters has begun")
	require.NoError(t, second.write(t.Context(), []*kgo.Record{letter}, time.Now()))
	assert.Len(t, written(t, c.ListenAddrs(), "t"), 1)
	other, err := lettersOf(t, c.ListenAddrs(), "b").openSession(t.Context(), "dead", kadm.TopicID{})
	require.NoError(t, err)
	other.close()
	require.NoError(t, second.write(t.Context(), []*kgo.Record{letter}, time.Now()), "another connector fences nobody")
}

// severed is a network that fails for good around the n-th end of a transaction.
type severed struct {
	left  atomic.Int64
	after bool // Kafka gets the request, and its answer is lost
	cut   atomic.Bool
	end   context.CancelFunc // called when a client connects again
}

type severedConn struct {
	net.Conn
	s *severed
}

var errSevered = errors.New("the cable was cut")

func (s *severed) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.cut.Load() {
		s.end()
		return nil, errSevered
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &severedConn{conn, s}, nil
}

func (c *severedConn) Write(b []byte) (int, error) {
	if len(b) >= 6 && binary.BigEndian.Uint16(b[4:]) == uint16(kmsg.EndTxn) && c.s.left.Add(-1) == 0 {
		c.s.cut.Store(true)
		if c.s.after {
			_, _ = c.Conn.Write(b)
			time.Sleep(50 * time.Millisecond) // until Kafka has read it
		}
	}
	if c.s.cut.Load() {
		_ = c.Close()
		return 0, errSevered
	}
	return c.Conn.Write(b)
}

func (c *severedConn) Read(b []byte) (int, error) {
	if c.s.cut.Load() {
		return 0, errSevered
	}
	return c.Conn.Read(b)
}

// The service may end at any time: before a transaction is committed, and after that
// without knowing it.
func TestAReplayThatIsCutOffGoesOnWithoutRepeatingALetter(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after the commit %v", after), func(t *testing.T) {
			c := withDead(t, 1)
			const n = 250 // three transactions
			writeLetters(t, c.ListenAddrs(), "a", 0, n)
			cable := &severed{after: after}
			cable.left.Store(2)
			dying := lettersOf(t, c.ListenAddrs(), "a")
			dying.conf.network = cable.dial
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cable.end = cancel
			result, err := dying.Replay(ctx, Replay{})
			require.Error(t, err)
			assert.Equal(t, 100, result.Replayed, "what is known to be committed")

			result, err = lettersOf(t, c.ListenAddrs(), "a").Replay(t.Context(), Replay{})
			require.NoError(t, err)
			already := 100
			if after {
				already = 200
			}
			assert.Equal(t, Replayed{TopicName: "dead", Replayed: n - already, Already: already}, result)
			assert.Equal(t, numbers(0, n), writtenValues(t, c.ListenAddrs(), "t"))
		})
	}
}
