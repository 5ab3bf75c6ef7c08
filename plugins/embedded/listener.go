package embedded

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// listener records the connections it has accepted, so that a server can close them.
// Both servers would leave some open: the broker those that have not sent CONNECT,
// Kafka those that are idle.
type listener struct {
	net.Listener

	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{}
}

type conn struct {
	net.Conn

	owner *listener
}

func listen(what, addr string) (*listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded %s: address %q: want host:port, port 0 for a free one: %w", what, addr, err)
	}
	if host == "" {
		return nil, fmt.Errorf("starting the embedded %s: address %q: want a host, 127.0.0.1 for this machine only", what, addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded %s on %s, choose another port or 0 for a free one: %w", what, addr, err)
	}
	return &listener{Listener: l, conns: make(map[*conn]struct{})}, nil
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, owner: l}
	if !l.add(c) {
		nc.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close stops accepting. It keeps the connections open, so that a server can first send
// its clients a DISCONNECT.
func (l *listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.Listener.Close()
}

// closeConns closes every connection that is still open.
func (l *listener) closeConns() {
	for _, c := range l.open() {
		_ = c.Close() // the client may have closed it already
	}
}

// expireWrites sets a write deadline of d from now on all open connections.
func (l *listener) expireWrites(d time.Duration) {
	deadline := time.Now().Add(d)
	for _, c := range l.open() {
		// It fails only for a connection that is closed already.
		_ = c.SetWriteDeadline(deadline)
	}
}

func (l *listener) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *listener) open() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	return conns
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.owner.remove(c)
	return c.Conn.Close()
}
