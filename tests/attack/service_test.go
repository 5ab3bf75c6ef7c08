//go:build integration

package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

const (
	token = "token-of-the-operator"
	// secretValue is in the environment and in files that no connector may read.
	secretValue = "value-that-nobody-may-see"
	// hostileAddress is the address of the attacking servers, which connectors may
	// connect to.
	hostileAddress = "127.0.0.3"
	// trapAddress is another loopback address, which they must not connect to.
	trapAddress = "127.0.0.2"
)

// service is the attacked process.
type service struct {
	*program.Process
	t *testing.T

	broker  *embedded.Broker
	kafka   *embedded.Kafka
	secrets string // --secrets-dir
	outside string // a file that is not in there
	trap    *trap
	traced  string // the output of strace
	allowed []string
	victim  string // the config of the connector that must not change
}

func startService(t *testing.T) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{
		t: t, secrets: filepath.Join(dir, "secrets"), outside: filepath.Join(dir, "outside.pem"), trap: newTrap(t),
		traced: filepath.Join(dir, "trace"),
	}
	var err error
	s.broker, err = embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(s.broker.Close)
	s.kafka, err = embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(s.kafka.Close)
	require.NoError(t, os.Mkdir(s.secrets, 0o700))
	require.NoError(t, os.WriteFile(s.outside, []byte(secretValue), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.secrets, "inside.pem"), []byte("this is not a certificate"), 0o600))
	require.NoError(t, os.Symlink(s.outside, filepath.Join(s.secrets, "link.pem")))
	tokenFile := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(tokenFile, []byte(token), 0o600))

	address, store := program.FreeAddress(t), filepath.Join(dir, "store")
	strace, err := exec.LookPath("strace")
	require.NoError(t, err, "make attack installs it")
	// -D makes the service's process the started one.
	cmd := exec.Command(strace, "-D", "-f", "-q", "--seccomp-bpf", "-s", "4096", "-e", "trace=open,openat,openat2,creat,connect", "-o", s.traced,
		program.Path(t), "serve", "--listen", address, "--store", store, "--secrets-dir", s.secrets, "--api-token-file", tokenFile,
		"--mqtt-url", s.broker.URL(), "--allow-targets", s.broker.Addr()+","+s.kafka.Addr()+","+hostileAddress,
		"--memory-limit", "300MiB", "--drain-timeout", "5s")
	cmd.Env = append(os.Environ(), "ROBUSTMQ_TEST_SECRET="+secretValue, "HTTP_PROXY=http://"+s.trap.address, "ALL_PROXY=")
	cmd.Dir = dir
	s.Process = program.StartCommand(t, address, cmd)
	s.WaitReady()
	s.allowed = []string{store, s.secrets, tokenFile}
	require.Empty(t, s.call(t, admin.PathCreate, s.definition(victim, "attack/victim", "victim", "")))
	s.victim = s.detail(t, victim).Config
	return s
}

// request sends a body unchanged and returns the HTTP status and the answer.
func (s *service) request(method, path string, body []byte, header http.Header) (status int, answer string, err error) {
	req, err := http.NewRequest(method, "http://"+s.HTTP+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for name, values := range header {
		req.Header[name] = values
	}
	client := http.Client{Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(text), err
}

// call calls the API and returns the error in its answer, "" for none.
func (s *service) call(t *testing.T, path string, body any) (wrong string) {
	t.Helper()
	data, err := json.Marshal(body)
	require.NoError(t, err)
	_, text, err := s.request(http.MethodPost, path, data, nil)
	require.NoError(t, err)
	var answer admin.Answer[json.RawMessage]
	require.NoError(t, json.Unmarshal([]byte(text), &answer), "%s", text)
	assert.NotContains(t, text, secretValue)
	if answer.Code == admin.CodeOK {
		return ""
	}
	require.Equal(t, admin.CodeError, answer.Code)
	require.NotNil(t, answer.Error)
	require.NotEmpty(t, *answer.Error)
	return *answer.Error
}

// detail returns what the service reports about a connector.
func (s *service) detail(t *testing.T, name string) admin.Detail {
	t.Helper()
	_, text, err := s.request(http.MethodGet, admin.PathDetail+"?tenant=default&connector_name="+name, nil, nil)
	require.NoError(t, err)
	var answer admin.Answer[admin.Detail]
	require.NoError(t, json.Unmarshal([]byte(text), &answer), "%s", text)
	assert.NotContains(t, text, secretValue)
	return answer.Data
}

// definition returns a connector from the filter to the topic of the service's own
// servers, with more members of the config: "" or `,"name":value`.
func (s *service) definition(name, filter, topic, more string) admin.Definition {
	return s.definitionTo(name, filter, fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%q%s}`, s.kafka.Addr(), topic, more))
}

func (s *service) definitionTo(name, filter, config string) admin.Definition {
	quoted, _ := json.Marshal(config) // a string
	return admin.Definition{
		ConnectorName: name, ConnectorType: "kafka", Config: quoted, Tenant: "default", TopicName: filter,
		FailureStrategy: json.RawMessage(`{"strategy":"block"}`),
	}
}

// with creates a connector, and deletes it when the test ends.
func (s *service) with(t *testing.T, d admin.Definition) {
	t.Helper()
	require.Empty(t, s.call(t, admin.PathCreate, d))
	t.Cleanup(func() {
		assert.Empty(t, s.call(t, admin.PathDelete, admin.Name{Tenant: d.Tenant, ConnectorName: d.ConnectorName}))
	})
}

// until waits until passes returns true for the connector's detail.
func (s *service) until(t *testing.T, name, what string, passes func(admin.Detail) bool) {
	t.Helper()
	var last admin.Detail
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if last = s.detail(t, name); passes(last) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("connector %s: no %s within %s: %+v", name, what, patience, last)
		}
	}
}

// trap is an address that nobody may connect to.
type trap struct {
	address  string
	accepted atomic.Int32
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	l, err := net.Listen("tcp", trapAddress+":0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // the test has ended
	tr := &trap{address: l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			tr.accepted.Add(1)
			_ = conn.Close() // the connection is all the test needs
		}
	}()
	return tr
}

// hostile is a server that passes each connection to serve. It returns the address and
// a counter of the connections.
func hostile(t *testing.T, serve func(conn net.Conn)) (address string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", hostileAddress+":0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // the test has ended
	connections = &atomic.Int32{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String(), connections
}
