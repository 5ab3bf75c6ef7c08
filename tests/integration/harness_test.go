//go:build integration

// Package integration runs the built binary against a real mosquitto and a real
// Apache Kafka. make integration starts both and sets MQTT_URL and KAFKA_BROKERS.
package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// servers are a broker and a Kafka that a test uses.
type servers struct {
	mqtt   string // URL
	direct string // URL of the broker, where mqtt leads over a way that may be interrupted
	kafka  string // host:port
}

var (
	mqttURL = os.Getenv("MQTT_URL")
	brokers = os.Getenv("KAFKA_BROKERS")
	shared  = servers{mqttURL, mqttURL, brokers}
	binary  string
)

// times is how often a test does what it is about: a full run is make soak.
func times(short, full int) int {
	if os.Getenv("SOAK") == "1" {
		return full
	}
	return short
}

func TestMain(m *testing.M) {
	if mqttURL == "" || brokers == "" {
		fmt.Fprintln(os.Stderr, "MQTT_URL and KAFKA_BROKERS are not set; run make integration, which starts the servers")
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "robustmq-connect-integration")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "robustmq-connect")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/robustmq-connect")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the binary: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	stopOwnServers()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// process is a running robustmq-connect.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	http string

	mu  sync.Mutex
	log bytes.Buffer

	exited chan struct{}
}

// Write takes the process's output.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// startPipeline runs a pipeline until the test ends, or stop is called.
func startPipeline(t *testing.T, yaml string) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipeline.yaml")
	require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
	lint, err := exec.Command(binary, "lint", path).CombinedOutput()
	require.NoError(t, err, "linting the pipeline: %s", lint)

	p := &process{t: t, http: freeAddress(t), exited: make(chan struct{})}
	p.cmd = exec.Command(binary, "-c", path, "--set", "http.address="+p.http)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // the exit code is read from ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended already
		<-p.exited
		if t.Failed() {
			t.Logf("output of the pipeline:\n%s", p.output())
		}
	})
	return p
}

// ready asks /ready for its status code; 0 while nobody answers.
func (p *process) ready() (code int, body string) {
	resp, err := http.Get("http://" + p.http + "/ready")
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

func (p *process) waitReady() {
	p.t.Helper()
	require.Eventually(p.t, func() bool { code, _ := p.ready(); return code == http.StatusOK },
		30*time.Second, 50*time.Millisecond, "the pipeline did not become ready")
}

func (p *process) waitLog(text string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.output(), text) },
		30*time.Second, 50*time.Millisecond, "the pipeline did not log %q", text)
}

// stop sends SIGTERM and returns the exit code and how long it took.
func (p *process) stop() (code int, took time.Duration) {
	p.t.Helper()
	start := time.Now()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.exited:
	case <-time.After(60 * time.Second):
		require.Fail(p.t, "the pipeline did not end")
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(start)
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// mqttClient connects to a broker until the test ends.
func mqttClient(t *testing.T, url, id string) paho.Client {
	t.Helper()
	client := paho.NewClient(publisherOptions(url, id))
	token := client.Connect()
	require.True(t, token.WaitTimeout(10*time.Second), "connecting to %s", url)
	require.NoError(t, token.Error())
	t.Cleanup(func() { client.Disconnect(100) })
	return client
}

func publisherOptions(url, id string) *paho.ClientOptions {
	return paho.NewClientOptions().AddBroker(url).SetClientID(id).SetOrderMatters(true).SetAutoReconnect(false)
}

// createTopic makes a Kafka topic that goes away with the test.
func (s servers) createTopic(t *testing.T, name string, partitions int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka))
	require.NoError(t, err)
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(t.Context(), partitions, 1, nil, name)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = admin.DeleteTopics(ctx, name) // the server's data is thrown away anyhow
		admin.Close()
	})
}

// recordCount returns how many records a topic holds.
func (s servers) recordCount(t *testing.T, topic string) int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka))
	require.NoError(t, err)
	defer client.Close()
	offsets, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	var n int64
	offsets.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}
