package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

const servePatience = 20 * time.Second

// serving is a service in this process.
type serving struct {
	t      *testing.T
	url    string
	client *http.Client
	stop   context.CancelFunc
	ended  chan error
	stderr *logtext.Text
}

func runServe(ctx context.Context, stderr io.Writer, args ...string) error {
	app := &ucli.App{
		Name: cli.BinaryName, ErrWriter: stderr, Writer: io.Discard, Commands: []*ucli.Command{serveCommand(service.GlobalEnvironment())},
		ExitErrHandler: func(*ucli.Context, error) {},
	}
	return app.RunContext(ctx, append([]string{cli.BinaryName, "serve"}, args...))
}

var servedAt = regexp.MustCompile(`msg=Serving address=(\S+)`)

func startServe(t *testing.T, args ...string) *serving {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &serving{t: t, client: http.DefaultClient, stop: cancel, ended: make(chan error, 1), stderr: &logtext.Text{}}
	go func() { s.ended <- runServe(ctx, s.stderr, append([]string{"--listen", "127.0.0.1:0"}, args...)...) }()
	t.Cleanup(cancel)
	require.Eventually(t, func() bool {
		m := servedAt.FindStringSubmatch(s.stderr.String())
		if m != nil {
			s.url = "http://" + m[1]
		}
		return m != nil
	}, servePatience, 10*time.Millisecond, "%s", s.stderr)
	return s
}

func (s *serving) end() {
	s.t.Helper()
	s.stop()
	select {
	case err := <-s.ended:
		require.NoError(s.t, err)
	case <-time.After(servePatience):
		s.t.Fatalf("the service does not stop:\n%s", s.stderr)
	}
}

func (s *serving) do(method, path, body string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	answer, err := s.client.Do(req)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return string(text)
}

func TestServeRunsCreatedConnectorsAfterARestart(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	defer broker.Close()
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	defer kafka.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "serve.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "mqtt_url: [ tcp://127.0.0.1:1 ]\nstore: %s\ndrain_timeout: 2s\nlog_level: info\n", filepath.Join(dir, "store")), 0o600))
	args := []string{"--config", file, "--mqtt-url", broker.URL()} // the flag takes precedence

	s := startServe(t, args...)
	config, err := json.Marshal(fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, kafka.Addr()))
	require.NoError(t, err)
	answer := s.do("POST", "/api/cluster/connector/create", fmt.Sprintf(
		`{"connector_name":"c","connector_type":"kafka","config":%s,"failure_strategy":{"strategy":"discard"},"tenant":"default","topic_name":"in/#"}`, config))
	require.Contains(t, answer, `"data":"success"`)
	require.Eventually(t, func() bool { return strings.Contains(s.do("GET", "/ready", ""), "{") }, servePatience, 10*time.Millisecond)

	// A second service on the same directory is refused with a reason.
	err = runServe(t.Context(), io.Discard, append(args, "--listen", "127.0.0.1:0")...)
	require.ErrorContains(t, err, "another service uses it")

	client := paho.NewClient(paho.NewClientOptions().AddBroker(broker.URL()).SetClientID("publisher"))
	require.True(t, client.Connect().WaitTimeout(servePatience))
	defer client.Disconnect(50)
	sent := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool {
			return strings.Contains(s.do("GET", "/metrics", ""), fmt.Sprintf(`mqtt_connector_messages_sent_success_total{connector_name="c",connector_type="kafka",tenant="default"} %d`, n))
		}, servePatience, 10*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), servePatience)
	defer cancel()
	require.NoError(t, broker.WaitSubscribed(ctx, "in/#"))
	require.True(t, client.Publish("in/a", 1, false, "1").WaitTimeout(servePatience))
	sent(1)
	s.end()

	require.True(t, client.Publish("in/a", 1, false, "2").WaitTimeout(servePatience))
	s = startServe(t, args...)
	assert.Contains(t, s.do("GET", "/api/cluster/connector/list", ""), `"connector_name":"c"`)
	sent(1) // the messages that arrived in between; the figures restart at 0
	s.end()
}

func TestServeRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	store := filepath.Join(dir, "store")
	for want, args := range map[string][]string{
		"store: give the directory of the connectors by --store DIR":         {},
		"give bearer tokens with --api-tokens-file or --api-token-file":      {"--store", store, "--listen", "0.0.0.0:0"},
		`mqtt-qos: "3" is not a quality of service`:                          {"--store", store, "--mqtt-qos", "3"},
		"the MQTT settings of the service: urls.0: ":                         {"--store", store, "--mqtt-url", "http://h:1"},
		"the MQTT settings of the service: password: ":                       {"--store", store, "--mqtt-password", "hush-hush"},
		"mqtt-password-file: it conflicts with mqtt-password":                {"--store", store, "--mqtt-password", "x", "--mqtt-password-file", write("pw", "y\n")},
		"mqtt-tls-cert-file and mqtt-tls-key-file need each other":           {"--store", store, "--mqtt-tls-cert-file", write("cert", "x")},
		"mqtt-tls-ca-file: reading " + filepath.Join(dir, "none"):            {"--store", store, "--mqtt-tls-ca-file", filepath.Join(dir, "none")},
		"over 1 MiB long: it is neither a certificate nor a key":             {"--store", store, "--mqtt-tls-ca-file", write("long.pem", strings.Repeat("x", maxPEMFile+1))},
		"long.key: over 1 MiB long":                                          {"--store", store, "--mqtt-tls-cert-file", write("cert", "x"), "--mqtt-tls-key-file", write("long.key", strings.Repeat("x", maxPEMFile+1))},
		"long.pw: over 64 KiB long: it is not a secret of one line":          {"--store", store, "--mqtt-password-file", write("long.pw", strings.Repeat("x", cli.MaxSecretFile+1))},
		"empty.pw: it is empty":                                              {"--store", store, "--mqtt-password-file", write("empty.pw", "\n")},
		"lines.pw: it holds more than one line":                              {"--store", store, "--mqtt-password-file", write("lines.pw", "a\nb\n")},
		`deny-targets: "nope" is not a target`:                               {"--store", store, "--deny-targets", "10.0.0.0/8, nope"},
		`allow-targets: "h:x" is not a target`:                               {"--store", store, "--allow-targets", "h:x"},
		"socket-role applies to a Unix socket only":                          {"--store", store, "--socket-role", "read"},
		"audit-log: opening the audit log: open " + dir + ": is a directory": {"--store", store, "--audit-log", dir},
		"opening the secrets directory: ":                                    {"--store", store, "--secrets-dir", filepath.Join(dir, "none")},
		`max-buffer-bytes: "much" is not a size of at least 1MiB`:            {"--store", store, "--max-buffer-bytes", "much"},
		`max-buffer-bytes: "1KiB" is not a size of at least 1MiB`:            {"--store", store, "--max-buffer-bytes", "1KiB"},
		"buffer-dir: connectors of a store in Kafka have no disk buffers":    {"--store", "kafka://localhost:1/p", "--buffer-dir", dir},
		"opening the directory of the disk buffers: ":                        {"--store", store, "--buffer-dir", write("file", "")},
		`memory-limit: "much" is not an amount of memory`:                    {"--store", store, "--memory-limit", "much"},
		`max-pending-bytes: "0" is not an amount of memory`:                  {"--store", store, "--max-pending-bytes", "0"},
		`memory-limit: "1kB" is not an amount of memory`:                     {"--store", store, "--memory-limit", "1kB"},
		`traces-to: "collector:4318" is not the URL of a collector`:          {"--store", store, "--traces-to", "collector:4318"},
		"traces-ratio: 2 is not from 0 to 1":                                 {"--store", store, "--traces-to", "http://localhost:4318", "--traces-ratio", "2"},
		`traces-ratio: "half" is not a number`:                               {"--store", store, "--traces-to", "http://localhost:4318", "--traces-ratio", "half"},
		"traces-ratio: it is ignored without traces-to":                      {"--store", store, "--traces-ratio", "0.5"},
		`log-level: "loud" is unknown`:                                       {"--store", store, "--log-level", "loud"},
		`log-format: "xml" is unknown`:                                       {"--store", store, "--log-format", "xml"},
		`"word" is not a flag`:                                               {"word"},
		"config: open ":                                                      {"--config", filepath.Join(dir, "none")},
		`(1): "mqtt-url" is unknown: the names are store, listen, `:          {"--config", write("a.yaml", "mqtt-url: x\n")},
		"(2): mqtt_url: it must be a text, a number or a list":               {"--config", write("b.yaml", "store: x\nmqtt_url: { a: b }\n")},
		"(1): drain_timeout: parse error":                                    {"--config", write("c.yaml", "drain_timeout: soon\n")},
		"it must be a YAML mapping of flags":                                 {"--config", write("d.yaml", "- a\n")},
	} {
		err := runServe(t.Context(), io.Discard, args...)
		require.ErrorContains(t, err, want, "%v", args)
		assert.True(t, strings.HasPrefix(err.Error(), "serving: "), "%v", err)
		assert.NotContains(t, err.Error(), "hush-hush")
	}
}

func TestServeReadsItsFlagsFromTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ROBUSTMQ_CONNECT_STORE", dir)
	t.Setenv("ROBUSTMQ_CONNECT_MQTT_URL", "tcp://127.0.0.1:1")
	t.Setenv("ROBUSTMQ_CONNECT_DRAIN_TIMEOUT", "1s")
	file := filepath.Join(dir, "serve.yaml")
	require.NoError(t, os.WriteFile(file, []byte("store: /no/such/dir\nlog_format: text\n"), 0o600))
	s := startServe(t, "--config", file)
	assert.Equal(t, "{", s.do("GET", "/health", "")[:1])
	assert.DirExists(t, filepath.Join(dir, "connectors"))
	assert.DirExists(t, filepath.Join(dir, "buffers"))
	s.end()
}
