package mqtt

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
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
	busy   bool // the writing goroutine is writing
	ending bool // write what is there, then stop
}

func newWriter(conn net.Conn, clock func() int64) *writer {
	w := &writer{wake: make(chan struct{}, 1), direct: directWrite(conn), clock: clock}
	w.sent.Store(clock())
	return w
}

// add calls fill to append packets. It never blocks on the socket.
func (w *writer) add(fill func([]byte) []byte) {
	if w.append(fill) {
		notify(w.wake)
	}
}

// append reports whether something is left for the writing goroutine.
func (w *writer) append(fill func([]byte) []byte) (waits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.buf)
	if !w.ending {
		w.buf = fill(w.buf)
	}
	if waits = len(w.buf) > before; waits && before == 0 && !w.busy && w.direct != nil {
		n := w.direct(w.buf)
		w.sent.Store(w.clock())
		w.buf = w.buf[:copy(w.buf, w.buf[n:])]
		waits = len(w.buf) > 0
	}
	return waits
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
	w.busy = len(buf) > 0
	return buf, w.ending
}

// rest records that the writing goroutine has written what it took.
func (w *writer) rest() {
	w.sent.Store(w.clock())
	w.mu.Lock()
	w.busy = false
	w.mu.Unlock()
}

// largestSpare is the size of the largest buffer that is reused.
const largestSpare = 1 << 20

// writeLoop is the only goroutine that writes once the connection is up. It returns
// when the connection fails or is ended.
func (s *session) writeLoop() {
	defer s.running.Done()
	defer close(s.written)
	defer s.conf.guard.Catch("the input mqtt, writing", s.fail)
	var spare []byte
	beat := time.NewTicker(s.pingInterval())
	defer beat.Stop()
	unanswered := newUnanswered(s)
	defer unanswered.Stop()
	for {
		select {
		case <-s.dead:
			return
		case <-s.writer.wake:
		case <-unanswered.C:
			if unanswered.over() {
				s.fail(errUnanswered)
				return
			}
		case <-beat.C:
			if err := s.ping(); err != nil {
				s.fail(err)
				return
			}
		}
		buf, ending := s.writer.swap(spare)
		if len(buf) > 0 {
			if s.keepAlive > 0 && !ending {
				// A broker that reads nothing for that long has given up the
				// connection.
				_ = s.conn.SetWriteDeadline(time.Now().Add(s.keepAlive*3/2 + time.Second))
			}
			if _, err := s.conn.Write(buf); err != nil {
				s.fail(connectionError("writing", err))
				return
			}
			s.writer.rest()
		}
		if ending {
			return
		}
		if spare = buf; cap(spare) > largestSpare {
			spare = nil
		}
	}
}

// pingInterval returns how often the writer checks whether a ping is due.
func (s *session) pingInterval() time.Duration {
	if s.keepAlive == 0 {
		return time.Hour
	}
	return max(s.keepAlive/4, 10*time.Millisecond)
}

// ping sends a PINGREQ when there was no traffic. It returns an error when the answer
// is overdue, except while the answer cannot be read, or while the broker may be
// waiting for us: rumqttd answers nothing while its window is full.
func (s *session) ping() error {
	if s.keepAlive == 0 {
		return nil
	}
	now, heard, asked := s.clock(), s.in.heard.Load(), s.asked
	owed := asked != 0 && heard < asked
	waiting, released := s.inflight.progress()
	if s.suspended.Load() || waiting > 0 && released == s.releasedAsked {
		s.excused = now
	}
	if owed && now-max(asked, s.excused) > int64(s.pingTimeout()) {
		return errSilent
	}
	quiet := now - int64(s.keepAlive)*3/4
	if s.writer.sent.Load() > quiet && (heard > quiet || owed) {
		return nil // one ping at a time
	}
	if !owed {
		s.asked = now
		s.releasedAsked = released
	}
	s.writer.add(func(buf []byte) []byte { return append(buf, typePingreq<<4, 0) })
	return nil
}

// pingTimeout is how long a broker may take to answer a ping.
func (s *session) pingTimeout() time.Duration { return min(s.keepAlive, 10*time.Second) }

// unanswered checks whether the answer to a subscription is overdue.
type unanswered struct {
	*time.Ticker
	s        *session
	idle     bool
	released uint64
}

func newUnanswered(s *session) *unanswered {
	return &unanswered{Ticker: time.NewTicker(max(s.conf.connectTimeout/2, time.Millisecond)), s: s}
}

// over reports whether the answer is overdue by connect_timeout while nothing is left
// to acknowledge: some brokers grant no filter before their messages are acknowledged,
// which may take as long as Kafka is unavailable.
func (u *unanswered) over() bool {
	select {
	case <-u.s.subscribed:
		u.Stop()
		return false
	default:
	}
	waiting, released := u.s.inflight.progress()
	was := u.idle && released == u.released
	u.idle, u.released = waiting == 0 && !u.s.suspended.Load(), released
	return was && u.idle
}
