package supervisor

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// gate is a way to a server that can be shut.
type gate struct {
	t    testing.TB
	addr string
	to   string

	mu    sync.Mutex
	ln    net.Listener
	conns []net.Conn
	wg    sync.WaitGroup
}

func newGate(t testing.TB, to string) *gate {
	t.Helper()
	g := &gate{t: t, to: to}
	g.listen("127.0.0.1:0")
	g.addr = g.ln.Addr().String()
	t.Cleanup(g.close)
	return g
}

func (g *gate) open() {
	g.t.Helper()
	g.listen(g.addr)
}

func (g *gate) listen(addr string) {
	g.t.Helper()
	ln, err := net.Listen("tcp", addr)
	require.NoError(g.t, err)
	g.mu.Lock()
	g.ln = ln
	g.mu.Unlock()
	g.wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", g.to)
			if err != nil {
				in.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, in, out)
			g.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				g.wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // until one side hangs up
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
}

func (g *gate) close() {
	g.mu.Lock()
	g.ln.Close()
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
	g.mu.Unlock()
	g.wg.Wait()
}
