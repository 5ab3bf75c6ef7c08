package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400)   // seeds leave little behind
	debug.SetTraceback("all") // of a seed that does not end
	os.Exit(m.Run())
}

// links are the networks by address.
var links sync.Map

// dial is the network of the components under test: its addresses exist only in this
// process.
func dial(ctx context.Context, _, address string) (net.Conn, error) {
	l, ok := links.Load(address)
	if !ok {
		return nil, fmt.Errorf("dial %s: no such host", address)
	}
	return l.(*link).dial(ctx)
}

// link is a listener with a network in front of it.
type link struct {
	address  string
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once

	reads, writes *gate // what the server reads and writes

	mu     sync.Mutex
	away   bool
	conns  map[*linkConn]bool
	budget int // bytes that may be written until all connections are cut; 0 for no limit
	delay  func() time.Duration
}

func newLink(address string) *link {
	l := &link{
		address: address, incoming: make(chan net.Conn), closed: make(chan struct{}),
		reads: newGate(), writes: newGate(), conns: map[*linkConn]bool{},
	}
	links.Store(address, l)
	return l
}

// gate blocks callers while it is shut.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) isOpenLocked() bool {
	select {
	case <-g.open:
		return true
	default:
		return false
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isOpenLocked() {
		g.open = make(chan struct{})
	}
}

func (g *gate) unshut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isOpenLocked() {
		close(g.open)
	}
}

func (g *gate) pass(gone <-chan struct{}) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
	case <-gone:
	}
}

func (l *link) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *link) Close() error {
	l.end()
	return nil
}

func (l *link) end() {
	l.once.Do(func() {
		close(l.closed)
		links.Delete(l.address)
	})
	l.cut()
}

func (l *link) Addr() net.Addr { return address(l.address) }

type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

// broken returns an error like the kernel's, which clients recognize.
func (l *link) broken(doing string, errno syscall.Errno) error {
	return &net.OpError{Op: doing, Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError(doing, errno)}
}

func (l *link) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	conn := &linkConn{Conn: server, link: l, gone: make(chan struct{})}
	l.mu.Lock()
	away := l.away
	if !away {
		l.conns[conn] = true
	}
	l.mu.Unlock()
	if away {
		return nil, l.broken("connect", syscall.ECONNREFUSED)
	}
	select {
	case l.incoming <- conn:
		return &clientConn{Conn: client, link: l}, nil
	case <-l.closed:
		conn.end()
		return nil, l.broken("connect", syscall.ECONNREFUSED)
	case <-ctx.Done():
		conn.end()
		return nil, ctx.Err()
	}
}

// cut closes all connections.
func (l *link) cut() {
	l.mu.Lock()
	conns := l.conns
	l.conns = map[*linkConn]bool{}
	l.mu.Unlock()
	for c := range conns {
		c.end()
	}
}

// setAway refuses new connections, and closes existing ones.
func (l *link) setAway(away bool) {
	l.mu.Lock()
	l.away = away
	l.mu.Unlock()
	if away {
		l.cut()
	}
}

// freeze blocks all traffic, and keeps the connections open.
func (l *link) freeze() {
	l.reads.shut()
	l.writes.shut()
}

func (l *link) thaw() {
	l.reads.unshut()
	l.writes.unshut()
}

// cutAfter closes all connections when the server has written n more bytes.
func (l *link) cutAfter(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.budget = n
}

// clientConn is the client's end of a connection, with TCP's errors.
type clientConn struct {
	net.Conn
	link   *link
	closed atomic.Bool
}

func (c *clientConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.translate("read", syscall.ECONNRESET, err)
}

func (c *clientConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.translate("write", syscall.EPIPE, err)
}

func (c *clientConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

func (c *clientConn) translate(doing string, errno syscall.Errno, err error) error {
	switch {
	case !errors.Is(err, io.ErrClosedPipe):
		return err
	case c.closed.Load():
		return &net.OpError{Op: doing, Net: "tcp", Addr: c.link.Addr(), Err: net.ErrClosed}
	}
	return c.link.broken(doing, errno)
}

// linkConn is the server's end of a connection.
type linkConn struct {
	net.Conn
	link *link
	once sync.Once
	gone chan struct{}
}

func (c *linkConn) Close() error {
	c.end()
	return nil
}

func (c *linkConn) end() {
	c.once.Do(func() { close(c.gone) })
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	c.Conn.Close()
}

func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.link.reads.pass(c.gone)
	return n, err
}

func (c *linkConn) Write(b []byte) (int, error) {
	c.link.writes.pass(c.gone)
	l := c.link
	l.mu.Lock()
	delay := l.delay
	may, cut := len(b), false
	if l.budget > 0 {
		may = min(may, l.budget)
		l.budget -= may
		cut = l.budget == 0
	}
	l.mu.Unlock()
	if delay != nil {
		time.Sleep(delay())
	}
	n, err := c.Conn.Write(b[:may])
	if cut {
		l.cut()
		return n, net.ErrClosed
	}
	return n, err
}
