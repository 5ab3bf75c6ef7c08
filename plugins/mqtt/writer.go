package mqtt

import (
	"net"
	"sync"
	"sync/atomic"
)

// writer collects packets in one buffer and writes them when the socket is free, so
// that packets added during a write leave with one system call. What the socket accepts
// at once is written by the caller that adds it: at a low rate, waking another
// goroutine costs more than the acknowledgement itself.
type writer struct {
	wake   chan struct{}            // one slot
	direct func(buf []byte) (n int) // writes what can be written at once; nil if that is not possible
	clock  func() int64
	sent   atomic.Int64 // when something was last written, by clock

	mu     sync.Mutex
	buf    []byte
	busy   bool   // the writing goroutine is writing
	ending bool   // write what is there, then stop
	base   uint64 // the number of bytes before buf
	passed uint64 // the number of bytes that the socket has accepted
}

func newWriter(conn net.Conn, clock func() int64) *writer {
	w := &writer{wake: make(chan struct{}, 1), direct: directWrite(conn), clock: clock}
	w.sent.Store(clock())
	return w
}

// add calls fill to append packets. It never blocks on the socket. It reports whether
// fill has appended something and the socket has accepted everything.
func (w *writer) add(fill func([]byte) []byte) (accepted bool) {
	added, waits := w.append(fill)
	if waits {
		notify(w.wake)
	}
	return added && !waits
}

// append reports whether something was added, and whether something is then left for
// the writing goroutine.
func (w *writer) append(fill func([]byte) []byte) (added, waits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.buf)
	if !w.ending {
		w.buf = fill(w.buf)
	}
	if added = len(w.buf) > before; !added {
		return false, false
	}
	if before == 0 && !w.busy && w.direct != nil {
		n := w.direct(w.buf)
		w.sent.Store(w.clock())
		w.base += uint64(n)
		w.passed = w.base
		w.buf = w.buf[:copy(w.buf, w.buf[n:])]
	}
	return true, len(w.buf) > 0
}

// accepted returns how many bytes the socket has accepted.
func (w *writer) accepted() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passed
}

// end adds the last packets. Packets added later are ignored.
func (w *writer) end(last []byte) {
	w.mu.Lock()
	w.buf = append(w.buf, last...)
	w.ending = true
	w.mu.Unlock()
	notify(w.wake)
}

// swap takes what has to be written and leaves spare in its place. The writing
// goroutine is busy until rest.
func (w *writer) swap(spare []byte) (buf []byte, ending bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	buf, w.buf = w.buf, spare[:0]
	w.base += uint64(len(buf))
	w.busy = len(buf) > 0
	return buf, w.ending
}

// recordWritten records that the writing goroutine has written n bytes of what it took, all of
// it unless the connection has failed.
func (w *writer) recordWritten(n int) {
	w.sent.Store(w.clock())
	w.mu.Lock()
	w.busy = false
	w.passed += uint64(n)
	w.mu.Unlock()
}
