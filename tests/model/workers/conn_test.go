package workers

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// conn is one end of a connection. A write never waits, as into the buffers of a kernel:
// whoever waited in one, with a mutex, would stop the time of the bubble.
type conn struct {
	local, remote net.Addr
	in, out       *pipe
	gates         [2]*gate
	deadline      *deadline // of reads

	once   sync.Once
	closed chan struct{}
}

func newConn(local, remote net.Addr, in, out *pipe, gates [2]*gate) *conn {
	return &conn{local: local, remote: remote, in: in, out: out, gates: gates, deadline: newDeadline(), closed: make(chan struct{})}
}

// pipe is one direction of a connection.
type pipe struct {
	mu     sync.Mutex
	data   []byte
	ended  bool          // the writer has closed
	unread bool          // the reader has closed
	broken bool          // the connection was cut
	moved  chan struct{} // closed when something changes
}

func newPipe() *pipe { return &pipe{moved: make(chan struct{})} }

func (p *pipe) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.moved)
	p.moved = make(chan struct{})
}

// frozen reports whether a gate holds back what arrives.
func (c *conn) frozen() (is bool, changed [2]<-chan struct{}) {
	for i, g := range c.gates {
		var state gateState
		state, changed[i] = g.now()
		is = is || state == frozen
	}
	return is, changed
}

func (c *conn) failed(doing string, errno syscall.Errno) error {
	return &net.OpError{Op: doing, Net: "tcp", Source: c.local, Addr: c.remote, Err: os.NewSyscallError(doing, errno)}
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		held, changed := c.frozen()
		n, moved, err := c.take(b, held)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		expired := c.deadline.wait()
		select {
		case <-expired:
			return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.local, Addr: c.remote, Err: os.ErrDeadlineExceeded}
		default:
		}
		select {
		case <-moved:
		case <-changed[0]:
		case <-changed[1]:
		case <-expired:
		case <-c.closed:
			return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.local, Addr: c.remote, Err: net.ErrClosed}
		}
	}
}

// take reads what is there, without waiting.
func (c *conn) take(b []byte, held bool) (n int, moved <-chan struct{}, err error) {
	select {
	case <-c.closed:
		return 0, nil, &net.OpError{Op: "read", Net: "tcp", Source: c.local, Addr: c.remote, Err: net.ErrClosed}
	default:
	}
	p := c.in
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.broken:
		return 0, nil, c.failed("read", syscall.ECONNRESET)
	case held:
	case len(p.data) > 0:
		n = copy(b, p.data)
		p.data = p.data[n:]
	case p.ended:
		err = io.EOF
	}
	return n, p.moved, err
}

func (c *conn) Write(b []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, &net.OpError{Op: "write", Net: "tcp", Source: c.local, Addr: c.remote, Err: net.ErrClosed}
	default:
	}
	held, _ := c.frozen()
	var err error
	c.out.change(func() {
		if c.out.broken || c.out.unread && !held {
			err = c.failed("write", syscall.EPIPE)
			return
		}
		c.out.data = append(c.out.data, b...)
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.deadline.set(time.Time{})
		c.out.change(func() { c.out.ended = true })
		c.in.change(func() { c.in.unread = true })
		for _, g := range c.gates {
			g.forget(c)
		}
	})
	return nil
}

// reset cuts a connection.
func (c *conn) reset() {
	c.in.change(func() { c.in.broken = true })
	c.out.change(func() { c.out.broken = true })
	for _, g := range c.gates {
		g.forget(c)
	}
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error     { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(time.Time) error  { return nil } // writes do not wait
func (c *conn) SetReadDeadline(t time.Time) error { c.deadline.set(t); return nil }

// deadline is a time that may be changed while somebody waits for it.
type deadline struct {
	mu      sync.Mutex
	turn    int // of the timer that counts
	timer   *time.Timer
	expired chan struct{} // closed when it has passed
	is      bool
}

func newDeadline() *deadline { return &deadline{expired: make(chan struct{})} }

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.is {
		d.expired, d.is = make(chan struct{}), false
	}
	if t.IsZero() {
		return
	}
	if wait := time.Until(t); wait > 0 {
		turn := d.turn
		d.timer = time.AfterFunc(wait, func() { d.expire(turn) })
		return
	}
	close(d.expired)
	d.is = true
}

func (d *deadline) expire(turn int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.turn == turn {
		close(d.expired)
		d.is = true
	}
}
