package workers

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// network has the servers of one world by address. Nothing in it leaves the process.
type network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

func newNetwork() *network { return &network{listeners: map[string]*listener{}} }

// silence is how long a connection attempt waits for an answer.
const silence = 10 * time.Second

// dial connects to a server through gates: one of the client, and those of the server.
func (n *network) dial(ctx context.Context, from string, through *gate, to string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[to]
	n.mu.Unlock()
	fail := func(why error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: address(to), Err: why}
	}
	if l == nil {
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	gates := [2]*gate{through, l.gateOf(through)}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	for _, g := range gates {
		for {
			state, changed := g.now()
			if state == away {
				return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
			}
			if state == open {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, fail(os.ErrDeadlineExceeded)
			}
		}
	}
	there, back := newPipe(), newPipe()
	client := newConn(address(from), address(to), back, there, gates)
	server := newConn(address(to), address(from), there, back, gates)
	both := func() {
		client.reset()
		server.reset()
	}
	for _, g := range gates {
		if !g.add(client, both) {
			both()
			return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
		}
	}
	select {
	case l.incoming <- server:
		return client, nil
	case <-l.closed:
		both()
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
}

// listener is a server's. Which gate a connection passes depends on the client's.
type listener struct {
	network  *network
	address  string
	gateOf   func(client *gate) *gate
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (n *network) listen(at string, gateOf func(client *gate) *gate) *listener {
	l := &listener{network: n, address: at, gateOf: gateOf, incoming: make(chan net.Conn, 1000), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[at] = l
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections stay.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		if l.network.listeners[l.address] == l {
			delete(l.network.listeners, l.address)
		}
		l.network.mu.Unlock()
		close(l.closed)
		for {
			select {
			case conn := <-l.incoming:
				_ = conn.Close() // it never fails
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return address(l.address) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

type gateState int

const (
	open   gateState = iota
	frozen           // what is sent arrives when it opens
	away             // connections are cut, and new ones refused
)

// gate is a place in the network that a fault closes.
type gate struct {
	mu      sync.Mutex
	state   gateState
	changed chan struct{} // closed when the state changes
	conns   map[*conn]func()
	dead    bool // it never opens again
}

func newGate() *gate { return &gate{changed: make(chan struct{}), conns: map[*conn]func(){}} }

func (g *gate) now() (gateState, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, g.changed
}

// closeForGood is set, after which the gate never opens again.
func (g *gate) closeForGood(state gateState) {
	g.set(state)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dead = true
}

func (g *gate) set(state gateState) {
	g.mu.Lock()
	if g.dead && state < g.state {
		g.mu.Unlock()
		return
	}
	g.state = state
	close(g.changed)
	g.changed = make(chan struct{})
	var cut []func()
	if state == away {
		for _, reset := range g.conns {
			cut = append(cut, reset)
		}
		clear(g.conns)
	}
	g.mu.Unlock()
	for _, reset := range cut {
		reset()
	}
}

// add takes note of a connection. It reports whether the gate lets it through.
func (g *gate) add(c *conn, reset func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == away {
		return false
	}
	g.conns[c] = reset
	return true
}

func (g *gate) forget(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}
