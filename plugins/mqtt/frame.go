package mqtt

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// frames reads packets from a connection.
type frames struct {
	r     *readBuffer
	began time.Time
	// heard is when the connection last delivered bytes, since began. Any bytes count:
	// a large packet over a slow link may take longer than a keepalive.
	heard atomic.Int64
	// readAt is the same as a wall-clock time, for the reading goroutine only.
	readAt time.Time
}

func newFrames(r io.Reader) *frames {
	f := &frames{began: time.Now()}
	f.readAt = f.began
	f.r = newReadBuffer(&listener{r, f})
	return f
}

// listener records for frames when bytes arrive.
type listener struct {
	r io.Reader
	f *frames
}

func (l *listener) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > 0 {
		l.f.readAt = time.Now()
		l.f.heard.Store(int64(l.f.readAt.Sub(l.f.began)) + 1)
	}
	return n, err
}

// buffered reports whether the next packet can be read without waiting.
func (f *frames) buffered() bool {
	n := f.r.buffered()
	if n < 2 {
		return false
	}
	head, _ := f.r.peek(min(n, 5))
	length, size := 0, 1
	for shift := 0; size < len(head); shift += 7 {
		b := head[size]
		size++
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n >= size+length
		}
	}
	return false
}

var errLength = &packetError{reasonMalformed, "malformed packet: its length has more than 4 bytes"}

// maxAnswer is the largest packet, in bytes, that a broker may send apart from messages.
// All properties of a CONNACK but its user properties fit into 400 KB.
const maxAnswer = 1 << 20

// next returns the first byte of the next packet and the body after its header. shared
// means that the body is valid only until done is called.
func (f *frames) next() (first byte, body []byte, shared bool, err error) {
	first, length, err := f.header()
	if err != nil {
		return 0, nil, false, err
	}
	body, shared, err = f.body(length)
	return first, body, shared, err
}

// header reads the first byte of the next packet and the length of its body, which only
// that of a message may be larger than maxAnswer.
func (f *frames) header() (first byte, length int, err error) {
	if first, err = f.r.readByte(); err != nil {
		return 0, 0, err
	}
	for shift := 0; ; shift += 7 {
		b, err := f.r.readByte()
		if err != nil {
			return 0, 0, err
		}
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			if length > maxAnswer && first>>4 != typePublish {
				return 0, 0, &packetError{reasonTooLarge, fmt.Sprintf("the broker sent a packet of type %d with %d bytes: %d are allowed", first>>4, length, maxAnswer)}
			}
			return first, length, nil
		}
		if shift == 21 {
			return 0, 0, errLength
		}
	}
}

// body reads the body after a header. shared means that it is valid only until done is
// called.
func (f *frames) body(length int) (body []byte, shared bool, err error) {
	if length <= largestReadBuffer {
		body, err = f.r.peek(length)
		return body, true, err
	}
	body, err = readLarge(f.r, length)
	return body, false, err
}

// start returns the beginning of a body that is longer than the buffer. It consumes
// nothing: body or skip must follow.
func (f *frames) start() ([]byte, error) { return f.r.peek(largestReadBuffer) }

// skip reads past a body without keeping it.
func (f *frames) skip(length int) error { return f.r.discard(length) }

// done releases the body of a shared packet.
func (f *frames) done(body []byte) {
	_ = f.skip(len(body)) // cannot fail: they are buffered
}

// readLarge reads length bytes. It allocates memory only as they arrive, at most twice
// what has arrived.
func readLarge(r io.Reader, length int) ([]byte, error) {
	var body []byte
	for chunk := largestReadBuffer; len(body) < length; chunk = len(body) {
		n := min(chunk, length-len(body))
		start := len(body)
		grown := make([]byte, start+n)
		copy(grown, body)
		body = grown
		if _, err := io.ReadFull(r, body[start:]); err != nil {
			return nil, err
		}
	}
	return body, nil
}
