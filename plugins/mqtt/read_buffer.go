package mqtt

import "io"

// Most connections of a service with many connectors are quiet, so a connection begins
// with a small buffer. It grows while the broker sends more than it holds, up to the
// size at which a system call no longer counts, and shrinks when that has ended.
const (
	smallestReadBuffer = 2 << 10
	largestReadBuffer  = 64 << 10
	// calmReads is the number of reads in a row that must have needed no more than half
	// of a small buffer before a large one is given up.
	calmReads = 16
)

// readBuffer reads ahead from a connection. It belongs to one goroutine.
type readBuffer struct {
	r        io.Reader
	buf      []byte
	from, to int   // the bytes that were read ahead
	full     bool  // the last read left no room, so more may be waiting
	calm     int   // small reads in a row
	err      error // to be returned once the bytes before it are used
}

func newReadBuffer(r io.Reader) *readBuffer {
	return &readBuffer{r: r, buf: make([]byte, smallestReadBuffer)}
}

// buffered returns the number of bytes that can be read without waiting.
func (b *readBuffer) buffered() int { return b.to - b.from }

// peek returns the next n bytes, at most largestReadBuffer, without consuming them. They
// are valid until the next call. If there are fewer, the error says why.
func (b *readBuffer) peek(n int) ([]byte, error) {
	for b.buffered() < n {
		if err := b.fill(n); err != nil {
			return b.buf[b.from:b.to], err
		}
	}
	return b.buf[b.from : b.from+n], nil
}

func (b *readBuffer) readByte() (byte, error) {
	if b.from == b.to {
		if err := b.fill(1); err != nil {
			return 0, err
		}
	}
	c := b.buf[b.from]
	b.from++
	return c, nil
}

// discard consumes n bytes.
func (b *readBuffer) discard(n int) error {
	for n > b.buffered() {
		n -= b.buffered()
		b.from = b.to
		if err := b.fill(1); err != nil {
			return err
		}
	}
	b.from += n
	return nil
}

// Read implements io.Reader. A large p is filled past the buffer.
func (b *readBuffer) Read(p []byte) (int, error) {
	if b.from == b.to {
		if len(p) >= len(b.buf) && b.err == nil {
			return b.r.Read(p)
		}
		if err := b.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.from:b.to])
	b.from += n
	return n, nil
}

// fill reads once, with room for n bytes in all.
func (b *readBuffer) fill(n int) error {
	if err := b.err; err != nil {
		b.err = nil
		return err
	}
	b.fit(n)
	const most = 100 // empty reads in a row
	for range most {
		read, err := b.r.Read(b.buf[b.to:])
		if b.full = b.to+read == len(b.buf); read > smallestReadBuffer/2 {
			b.calm = 0
		} else {
			b.calm++
		}
		b.to += read
		if read > 0 {
			b.err = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// fit moves the bytes that were read ahead to the front of a buffer that has room for n
// bytes and for at least one more.
func (b *readBuffer) fit(n int) {
	size := len(b.buf)
	switch waiting := b.buffered(); {
	case waiting == 0 && b.calm >= calmReads && n <= smallestReadBuffer:
		size = smallestReadBuffer
	case b.full:
		size = min(4*size, largestReadBuffer)
	}
	for size < n {
		size *= 2
	}
	to := b.buf
	if size != len(b.buf) {
		to, b.calm = make([]byte, size), 0
	}
	b.to = copy(to, b.buf[b.from:b.to])
	b.from, b.buf, b.full = 0, to, false
}
