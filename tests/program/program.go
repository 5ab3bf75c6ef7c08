// Package program builds robustmq-connect and runs it, for the tests.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/logtext"
)

// made is the directory of the binary, "" until path is called.
var made string

// path builds the binary and returns its path.
var path = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "robustmq-connect-program")
	if err != nil {
		return "", err
	}
	made = dir
	binary := filepath.Join(dir, "robustmq-connect")
	build := exec.Command("go", "build", "-o", binary, "github.com/robustmq/robustmq-connect/cmd/robustmq-connect")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	return binary, nil
})

// Main runs the tests of a package and removes the binary. It returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if made != "" {
		_ = os.RemoveAll(made) // the system empties its temporary folder
	}
	return code
}

// Path returns the path of the binary. The first call builds it.
func Path(t *testing.T) string {
	t.Helper()
	binary, err := path()
	require.NoError(t, err)
	return binary
}

// Result is the result of a command.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Call runs a program with this standard input until it ends, for at most 30 s.
func Call(t *testing.T, stdin string, environment []string, name string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// WriteFile writes a pipeline into a temporary file of the test.
func WriteFile(t *testing.T, yaml string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "pipeline.yaml")
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	return file
}

// FreeAddress returns a loopback address on which nothing listens. Its port is below those
// that systems choose: another test could get such a one before the caller listens there,
// and what is meant for the caller.
func FreeAddress(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(18_000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		require.NoError(t, err)
		defer l.Close()
		return l.Addr().String()
	}
}

// Process is a running robustmq-connect.
type Process struct {
	// HTTP is the address of its HTTP server.
	HTTP string

	t      *testing.T
	cmd    *exec.Cmd
	exited chan struct{}

	log logtext.Text
}

// StartPipeline runs the binary with these arguments and an HTTP server on a free
// address.
func StartPipeline(t *testing.T, args ...string) *Process {
	t.Helper()
	address := FreeAddress(t)
	return Start(t, address, append([]string{"--set", "http.address=" + address}, args...)...)
}

// Start runs the binary with arguments that make its HTTP server listen on the address,
// until the test ends or the process is stopped.
func Start(t *testing.T, address string, args ...string) *Process {
	t.Helper()
	return StartCommand(t, address, exec.Command(Path(t), args...))
}

// StartCommand is Start with a command that becomes the binary, or has its own
// environment.
func StartCommand(t *testing.T, address string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, HTTP: address, exited: make(chan struct{}), cmd: cmd}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // the exit code is read from ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of %v:\n%s", cmd.Args, p.Output())
		}
	})
	return p
}

// Output returns what the process has printed so far.
func (p *Process) Output() string { return p.log.String() }

// Get calls the HTTP server; the code is 0 while nothing answers.
func (p *Process) Get(path string) (code int, body string) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + p.HTTP + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// Ready calls /ready; the code is 0 while nothing answers.
func (p *Process) Ready() (code int, body string) { return p.Get("/ready") }

// ConnectorsReady reports whether all connectors of a service run.
func (p *Process) ConnectorsReady() bool {
	code, _ := p.Get("/ready/connectors")
	return code == http.StatusOK
}

// WaitReady waits until /ready answers 200.
func (p *Process) WaitReady() {
	p.t.Helper()
	require.Eventually(p.t, func() bool { code, _ := p.Ready(); return code == http.StatusOK },
		30*time.Second, 20*time.Millisecond, "the pipeline did not become ready")
}

// WaitLog waits until the process has printed the text.
func (p *Process) WaitLog(text string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.Output(), text) },
		30*time.Second, 50*time.Millisecond, "the pipeline did not log %q", text)
}

// Stop sends SIGTERM and returns the exit code and how long the process took to end.
func (p *Process) Stop() (code int, took time.Duration) {
	p.t.Helper()
	start := time.Now()
	p.Signal(syscall.SIGTERM)
	return p.Wait(), time.Since(start)
}

// Wait waits until the process has ended, and returns the exit code.
func (p *Process) Wait() (code int) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(60 * time.Second):
		require.Fail(p.t, "the pipeline did not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the process.
func (p *Process) Signal(signal os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(signal))
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Kill ends the process with SIGKILL, unless it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.exited
}

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// PeakMemory returns the peak resident memory of the process in MB, as Linux measures
// it.
func (p *Process) PeakMemory() int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	require.True(p.t, found)
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(p.t, err)
	return kb / 1000
}
