//go:build integration

package integration

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// way is a TCP proxy that can be interrupted.
type way struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	blocked bool
	severed int // a process whose connections are refused, 0 for none
	pairs   map[*pair]bool
}

// pair is a connection and its other half.
type pair struct {
	in, out net.Conn
	mu      sync.Mutex
	silent  bool // what is read goes nowhere
}

func newWay(t *testing.T) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &way{listener: l, pairs: map[*pair]bool{}}
	go w.serve()
	return w
}

func (w *way) address() string { return w.listener.Addr().String() }

func (w *way) serve() {
	for {
		in, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		blocked, severed := w.blocked, w.severed
		w.mu.Unlock()
		blocked = blocked || severed != 0 && opened(severed, in.RemoteAddr())
		out, err := net.Dial("tcp", w.to)
		if err != nil || blocked {
			_ = in.Close()
			if err == nil {
				_ = out.Close()
			}
			continue
		}
		p := &pair{in: in, out: out}
		w.mu.Lock()
		w.pairs[p] = true
		w.mu.Unlock()
		go w.copy(p, out, in)
		go w.copy(p, in, out)
	}
}

func (w *way) copy(p *pair, dst, src net.Conn) {
	_, _ = io.Copy(writerFunc(func(b []byte) (int, error) {
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		if silent {
			return len(b), nil
		}
		return dst.Write(b)
	}), src) // either side may hang up first
	p.mu.Lock()
	silent := p.silent
	p.mu.Unlock()
	if silent {
		return // the other side must not hear of it
	}
	p.close()
	w.mu.Lock()
	delete(w.pairs, p)
	w.mu.Unlock()
}

func (p *pair) close() {
	_ = p.in.Close()
	_ = p.out.Close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// cut ends all connections.
func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pairs {
		p.close()
	}
}

// swallow makes all connections half-open: they stay, and nothing passes. New
// ones are sound.
func (w *way) swallow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pairs {
		p.mu.Lock()
		p.silent = true
		p.mu.Unlock()
	}
}

// sever ends the connections of one process and refuses its new ones, until open.
func (w *way) sever(pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.severed = pid
	for p := range w.pairs {
		if opened(pid, p.in.RemoteAddr()) {
			p.close()
		}
	}
}

// opened reports whether a process has a connection whose local address this is.
func opened(pid int, client net.Addr) bool {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return false // it has ended
	}
	port := fmt.Sprintf(":%04X", client.(*net.TCPAddr).Port)
	sockets := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		if columns := strings.Fields(line); len(columns) > 9 && strings.HasSuffix(columns[1], port) {
			sockets["socket:["+columns[9]+"]"] = true
		}
	}
	files := fmt.Sprintf("/proc/%d/fd", pid)
	all, err := os.ReadDir(files)
	if err != nil {
		return false
	}
	for _, file := range all {
		if target, err := os.Readlink(filepath.Join(files, file.Name())); err == nil && sockets[target] {
			return true
		}
	}
	return false
}

// block ends all connections and refuses new ones, until open.
func (w *way) block() {
	w.mu.Lock()
	w.blocked = true
	w.mu.Unlock()
	w.cut()
}

func (w *way) open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blocked, w.severed = false, 0
}
