package tests

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// health runs the health check as a container does, with this environment.
func health(t *testing.T, environment []string, args ...string) program.Result {
	t.Helper()
	r := program.Call(t, "", environment, program.Path(t), append([]string{"health"}, args...)...)
	if r.Code == 0 {
		assert.Empty(t, r.Stderr)
		assert.Equal(t, 1, strings.Count(r.Stdout, "\n"), r.Stdout)
	} else {
		assert.Equal(t, 1, r.Code)
		assert.Empty(t, r.Stdout)
		assert.Equal(t, 1, strings.Count(r.Stderr, "\n"), r.Stderr)
	}
	return r
}

// A pipeline that waits for its broker is healthy: restarting its container would not
// help.
func TestAWaitingPipelineIsHealthyButNotReady(t *testing.T) {
	broker := program.FreeAddress(t)
	p := program.StartPipeline(t, "run", program.WriteFile(t,
		"input: { mqtt: { urls: [ \"tcp://"+broker+"\" ], topics: [ a ] } }\noutput: { drop: {} }\n"))
	require.Eventually(t, func() bool { code, _ := p.Get("/ping"); return code == 200 }, exampleTimeout, 20*time.Millisecond)
	r := health(t, nil, "--address", p.HTTP)
	assert.Equal(t, "http://"+p.HTTP+" is healthy\n", r.Stdout, r.Stderr)
	_, port, err := net.SplitHostPort(p.HTTP)
	require.NoError(t, err)
	for _, everywhere := range []string{":" + port, "0.0.0.0:" + port, "http://0.0.0.0:" + port + "/"} {
		r := health(t, nil, "--address", everywhere)
		assert.Equal(t, "http://"+p.HTTP+" is healthy\n", r.Stdout, r.Stderr)
	}
	r = health(t, nil, "--address", p.HTTP, "--ready")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "checking the health of http://"+p.HTTP+": /ready answered 503: ")

	listening, err := embedded.StartBroker(broker)
	require.NoError(t, err)
	t.Cleanup(listening.Close)
	p.WaitReady()
	r = health(t, nil, "--address", p.HTTP, "--ready")
	assert.Equal(t, "http://"+p.HTTP+" is ready\n", r.Stdout, r.Stderr)
}

func TestHealthOfAServiceNeedsNoToken(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	server, _, cert := certificates(t)
	der, err := x509.MarshalPKCS8PrivateKey(server.Certificates[0].PrivateKey)
	require.NoError(t, err)
	key := write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	token := write("token", "0123456789abcdef0123456789abcdef\n")
	for name, flags := range map[string][]string{
		"plain": {"--api-token-file", token},
		"https": {"--api-token-file", token, "--tls-cert-file", cert, "--tls-key-file", key},
	} {
		t.Run(name, func(t *testing.T) {
			address := program.FreeAddress(t)
			p := program.Start(t, address, append([]string{"serve", "--store", t.TempDir(), "--listen", address}, flags...)...)
			p.WaitLog("msg=Serving")
			scheme := "http://"
			if name == "https" {
				scheme = "https://"
			}
			environment := []string{"ROBUSTMQ_CONNECT_LISTEN=" + address}
			r := health(t, environment)
			assert.Equal(t, scheme+address+" is healthy\n", r.Stdout, r.Stderr)
			r = health(t, environment, "--ready")
			assert.Equal(t, scheme+address+" is ready\n", r.Stdout, r.Stderr)
			r = health(t, nil, "--address", scheme+address)
			assert.Equal(t, scheme+address+" is healthy\n", r.Stdout, r.Stderr)
		})
	}
}

func TestAFailedHealthCheckNamesTheAddressAndWhatToDo(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	other := program.StartPipeline(t, "run", program.WriteFile(t,
		"input: { http_server: { path: /post } }\noutput: { drop: {} }\nhttp: { root_path: /other }\n"))
	require.Eventually(t, func() bool { code, _ := other.Get("/ping"); return code != 0 }, exampleTimeout, 20*time.Millisecond)
	nobody := program.FreeAddress(t)
	for says, args := range map[string][]string{
		"checking the health of http://" + nobody + ": nobody listens there: start it, or name its address by --address":            {"--address", nobody},
		"checking the health of http://" + silent.Addr().String() + ": no answer within --timeout: see its log, or raise --timeout": {"--address", silent.Addr().String(), "--timeout", "100ms"},
		"checking the health of http://" + other.HTTP + "/nowhere: /ping is not there: check that --address leads to ":              {"--address", other.HTTP + "/nowhere"},
		`reading --address "localhost": want HOST:PORT, unix:PATH or an http or https URL, 127.0.0.1:4195 for example`:              {"--address", "localhost"},
		`reading --address "ftp://a:1": want HOST:PORT, unix:PATH or `:                                                              {"--address", "ftp://a:1"},
		"reading --timeout 0s: want more than 0": {"--timeout", "0"},
		`reading "x": health takes flags only`:   {"x"},
	} {
		r := health(t, nil, args...)
		assert.Equal(t, 1, r.Code)
		assert.Contains(t, r.Stderr, says)
	}
	r := health(t, []string{"ROBUSTMQ_CONNECT_LISTEN=nowhere"})
	assert.Contains(t, r.Stderr, `reading ROBUSTMQ_CONNECT_LISTEN "nowhere": want HOST:PORT`)
}
