package kafka

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// gate is the network in front of a broker.
type gate struct {
	net.Listener

	frozen sync.RWMutex // locked while the gate is frozen

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// gated starts a Kafka behind a gate.
func gated(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, *gate) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{Listener: ln, conns: map[net.Conn]bool{}}
	return cluster(t, 1, append(opts, kfake.ListenFn(func(string, string) (net.Listener, error) { return g, nil }))...), g
}

// Cut closes all connections, and new ones as soon as they are accepted.
func (g *gate) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = true
	for conn := range g.conns {
		conn.Close()
	}
	clear(g.conns)
}

// Restore ends Cut.
func (g *gate) Restore() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = false
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		cut := g.cut
		if !cut {
			g.conns[conn] = true
		}
		g.mu.Unlock()
		if !cut {
			return &gatedConn{conn, g}, nil
		}
		conn.Close()
	}
}

type gatedConn struct {
	net.Conn
	g *gate
}

// Read blocks while the gate is frozen.
func (c *gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.g.frozen.RLock()
	defer c.g.frozen.RUnlock()
	return n, err
}
