package mqtt

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// portions delivers some bytes a read.
type portions struct {
	each, reads int
	left        int
}

func (p *portions) Read(b []byte) (int, error) {
	n := min(p.each, len(b), p.left)
	if n == 0 {
		return 0, io.EOF
	}
	p.left -= n
	p.reads++
	return n, nil
}

func TestReadBufferOfAQuietConnectionStaysSmall(t *testing.T) {
	b := newReadBuffer(&portions{each: 100, left: 1 << 20})
	for range 1000 {
		require.NoError(t, b.discard(100))
		require.Len(t, b.buf, smallestReadBuffer)
	}
}

func TestReadBufferGrowsUnderLoadAndShrinksAfterIt(t *testing.T) {
	source := &portions{each: 1 << 20, left: 16 << 20}
	b := newReadBuffer(source)
	for range 8 << 10 {
		require.NoError(t, b.discard(1<<10))
	}
	require.Len(t, b.buf, largestReadBuffer)
	require.Less(t, source.reads, 8<<20/largestReadBuffer+10)

	require.NoError(t, b.discard(b.buffered()))
	source.each = 100
	for range 2 * calmReads {
		require.NoError(t, b.discard(100))
	}
	require.Len(t, b.buf, smallestReadBuffer)
}

func TestReadBufferHoldsABodyOfItsLargestSize(t *testing.T) {
	b := newReadBuffer(&portions{each: 100, left: 2 * largestReadBuffer})
	require.NoError(t, b.discard(50))
	body, err := b.peek(largestReadBuffer)
	require.NoError(t, err)
	require.Len(t, body, largestReadBuffer)
}

func TestReadBufferReturnsAnErrorAfterTheBytesBeforeIt(t *testing.T) {
	b := newReadBuffer(iotest.DataErrReader(bytes.NewReader([]byte("abc"))))
	body, err := b.peek(4)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "abc", string(body))
	require.NoError(t, b.discard(3))

	broken := errors.New("broken")
	b = newReadBuffer(iotest.ErrReader(broken))
	_, err = b.readByte()
	require.ErrorIs(t, err, broken)
	require.ErrorIs(t, b.discard(1), broken)

	b = newReadBuffer(emptyReads{})
	_, err = b.readByte()
	require.ErrorIs(t, err, io.ErrNoProgress)
}

type emptyReads struct{}

func (emptyReads) Read([]byte) (int, error) { return 0, nil }

func FuzzReadBufferReturnsWhatArrives(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		sent := make([]byte, 400<<10)
		for i := range sent {
			sent[i] = byte(random.Uint32())
		}
		var source io.Reader = bytes.NewReader(sent)
		if seed%2 == 0 {
			source = iotest.HalfReader(source)
		}
		b := newReadBuffer(source)
		for at := 0; at < len(sent); {
			n := min(1+random.IntN(1<<random.IntN(17)), len(sent)-at)
			switch random.IntN(4) {
			case 0:
				c, err := b.readByte()
				require.NoError(t, err)
				require.Equal(t, sent[at], c)
				at++
			case 1:
				p, err := b.peek(n)
				require.NoError(t, err)
				require.True(t, bytes.Equal(sent[at:at+n], p))
			case 2:
				require.NoError(t, b.discard(n))
				at += n
			default:
				p := make([]byte, n)
				_, err := io.ReadFull(b, p)
				require.NoError(t, err)
				require.True(t, bytes.Equal(sent[at:at+n], p))
				at += n
			}
		}
		_, err := b.readByte()
		require.ErrorIs(t, err, io.EOF)
	})
}
