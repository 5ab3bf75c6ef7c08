//go:build integration

package integration

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
	s.start(t, "mosquitto")
	s.start(t, "kafka")
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
	s.start(t, name)
}

func (s *ownServers) start(t *testing.T, name string) {
	t.Helper()
	args := []string{"start"}
	if name == "kafka" {
		// Clients connect to the address that Kafka advertises.
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
