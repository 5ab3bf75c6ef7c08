//go:build integration

package integration

import (
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// ownServers are a broker and a Kafka that a test may stop, with a way to each
// that it may interrupt.
type ownServers struct {
	servers
	dir               string
	ports             map[string]string
	mqttWay, kafkaWay *way
}

var own *ownServers

// startOwnServers starts them for the first test that asks. Later tests get the same
// servers.
func startOwnServers(t *testing.T) *ownServers {
	t.Helper()
	if own != nil {
		return own
	}
	dir, err := os.MkdirTemp(os.Getenv("SERVERS_DIR"), "own") //nolint:usetesting // the servers outlive the test that starts them; with.sh stops them if we cannot
	require.NoError(t, err)
	s := &ownServers{dir: dir, ports: map[string]string{"mosquitto": "0", "kafka": "0"}}
	s.kafkaWay = newWay(t)
	own = s
	s.script(t, "mosquitto", "start")
	// Clients connect to the address that Kafka advertises.
	s.script(t, "kafka", "start", "--advertise", s.kafkaWay.address())
	s.mqttWay = newWay(t)
	s.mqttWay.to = "127.0.0.1:" + s.ports["mosquitto"]
	s.kafkaWay.to = "127.0.0.1:" + s.ports["kafka"]
	s.servers = servers{mqtt: "tcp://" + s.mqttWay.address(), direct: "tcp://" + s.mqttWay.to, kafka: s.kafkaWay.address()}
	return s
}

func stopOwnServers() {
	if own == nil {
		return
	}
	for name := range own.ports {
		_ = exec.Command(script(name), "stop", "--dir", filepath.Join(own.dir, name)).Run() // the directory goes anyhow
	}
	_ = os.RemoveAll(own.dir)
}

func script(name string) string { return filepath.Join("..", "servers", name+".sh") }

// script runs a command of a server's script, and notes the port that it has.
func (s *ownServers) script(t *testing.T, name string, args ...string) {
	t.Helper()
	args = append(args, "--dir", filepath.Join(s.dir, name), "--port", s.ports[name])
	out, err := exec.Command(script(name), args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	if args[0] == "start" {
		u, err := url.Parse("tcp://" + lastWord(string(out)))
		require.NoError(t, err)
		s.ports[name] = u.Port()
	}
}

func lastWord(s string) string {
	words := strings.Fields(s)
	return words[len(words)-1]
}

func (s *ownServers) restart(t *testing.T, name string) {
	t.Helper()
	s.script(t, name, "stop")
	args := []string{"start"}
	if name == "kafka" {
		args = append(args, "--advertise", s.kafkaWay.address())
	}
	s.script(t, name, args...)
}

func (s *ownServers) signalKafka(t *testing.T, signal string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "kafka", "server.pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.Fields(string(text))[0])
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, map[string]syscall.Signal{"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}[signal]))
}

// way is a TCP proxy that can be interrupted.
type way struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	blocked bool
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
		blocked := w.blocked
		w.mu.Unlock()
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
	w.blocked = false
}
