package scripted

import (
	"net"
	"sync"
)

// wire counts the bytes that pass, and ends the connection at its limits.
type wire struct {
	conn   net.Conn
	how    Behaviour
	once   sync.Once
	closed chan struct{}

	mu             sync.Mutex
	sent, received int
	over           bool // the end has come, of a connection that stays open
}

func (w *wire) hangUp() {
	w.once.Do(func() {
		close(w.closed)
		w.conn.Close()
	})
}

// finish ends the connection.
func (w *wire) finish() {
	if w.how.End == Cut {
		w.hangUp()
		return
	}
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
}

// room returns how many of n bytes may pass after those that have passed.
func room(limit, passed, n int) (may int, last bool) {
	switch {
	case limit == 0 || passed+n < limit:
		return n, false
	case limit < 0:
		return 0, true
	}
	return limit - passed, true
}

// Read returns what the broker may see.
func (w *wire) Read(p []byte) (int, error) {
	for {
		w.mu.Lock()
		over := w.over
		w.mu.Unlock()
		if over && w.how.End == Freeze {
			<-w.closed
			return 0, net.ErrClosed
		}
		n, err := w.conn.Read(p)
		w.mu.Lock()
		over = w.over
		may, last := room(w.how.AfterReceived, w.received, n)
		w.received += may
		w.mu.Unlock()
		if last && !over {
			w.finish()
		}
		switch {
		case over && err != nil:
			return 0, err
		case over:
			continue
		case may > 0:
			return may, nil
		case err != nil:
			return 0, err
		}
	}
}

// write sends a segment, or the part of it that may pass.
func (w *wire) write(p []byte) (whole bool, err error) {
	w.mu.Lock()
	over, sent := w.over, w.sent
	w.mu.Unlock()
	if over {
		return false, nil
	}
	may, last := room(w.how.AfterSent, sent, len(p))
	whole = may == len(p)
	for p = p[:may]; len(p) > 0; {
		n := len(p)
		if sent < w.how.BytewiseUpTo {
			n = 1
		}
		n, err := w.conn.Write(p[:n])
		sent += n
		p = p[n:]
		if err != nil {
			return false, err
		}
	}
	w.mu.Lock()
	w.sent = sent
	w.mu.Unlock()
	if last {
		w.finish()
	}
	return whole, nil
}
