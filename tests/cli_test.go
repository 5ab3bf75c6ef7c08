package tests

import (
	"bytes"
	"context"
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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// builtBinary builds robustmq-connect once for all tests.
var builtBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "robustmq-connect-cli")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "robustmq-connect")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/robustmq-connect").CombinedOutput()
	if err != nil {
		return "", &exec.Error{Name: string(out), Err: err}
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := builtBinary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path)) // the system empties its temporary folder
	}
	os.Exit(code)
}

type result struct {
	code           int
	stdout, stderr string
}

// call runs the binary to its end.
func call(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	path, err := builtBinary()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipeline.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestVersionTellsWhatIsInside(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		r := call(t, "", flag)
		assert.Zero(t, r.code)
		for _, word := range []string{"robustmq-connect ", "commit: ", "go:      go1.", "benthos: v4.", "connect: v4."} {
			assert.Contains(t, r.stdout, word)
		}
	}
}

func TestHelpIsOurs(t *testing.T) {
	r := call(t, "", "--help")
	assert.Zero(t, r.code)
	assert.Contains(t, r.stdout, "robustmq-connect moves MQTT messages into Kafka")
	for _, command := range []string{"run", "lint", "test", "list", "create", "template", "blobl", "streams", "demo", "mqtt", "completion"} {
		assert.Contains(t, r.stdout, "\n  "+command+" ")
	}
	for _, foreign := range []string{"Benthos", "mundane", "studio", "http"} {
		assert.NotContains(t, r.stdout, foreign)
	}
}

func TestWithoutAPipelineFileHelpIsPrintedAndTheCallFails(t *testing.T) {
	for _, args := range [][]string{nil, {"run"}, {"--log.level", "debug"}, {"run", "--chilled"}, {"--set", "http.enabled=false"}} {
		r := call(t, "would be piped\n", args...)
		assert.Equal(t, 1, r.code, "%v", args)
		assert.Empty(t, r.stdout)
		assert.Contains(t, r.stderr, "robustmq-connect")
	}
}

func TestBadCallsSayOneLine(t *testing.T) {
	broken := writeFile(t, "input: [")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"frobnicate"}, "Unrecognised command: frobnicate"},
		{[]string{"--nope"}, "flag provided but not defined: -nope"},
		{[]string{"lint", "--nope"}, "flag provided but not defined: -nope"},
		{[]string{"run", "--nope"}, "flag provided but not defined: -nope"},
		{[]string{"demo", "--rate", "fast"}, "fast"},
		{[]string{"-c", "/nowhere/pipeline.yaml"}, "/nowhere/pipeline.yaml: no such file"},
		{[]string{"run", "/nowhere/pipeline.yaml"}, "/nowhere/pipeline.yaml: no such file"},
		{[]string{"-c", broken}, "line 1"},
		{[]string{"lint", broken}, "line 1"},
		{[]string{"lint"}, "no file was given"},
		{[]string{"mqtt", "connector", "export", "-f", "/nowhere/connector.json"}, "/nowhere/connector.json"},
		{[]string{"studio"}, "not part of this distribution"},
	} {
		r := call(t, "", c.args...)
		assert.NotZero(t, r.code, "%v", c.args)
		assert.Contains(t, r.stderr, c.says)
		assert.Equal(t, 1, strings.Count(r.stderr, "\n"), "%v says:\n%s", c.args, r.stderr)
		assert.NotContains(t, r.stderr, "goroutine ")
	}
}

func TestRunTakesItsFileAsAFlagToo(t *testing.T) {
	path := writeFile(t, "input:\n  generate: { mapping: root = \"x\", count: 1 }\noutput:\n  stdout: {}\n")
	for _, args := range [][]string{{"run", "-c", path}, {"run", path}, {"-c", path}, {"-c", path, "run"}} {
		r := call(t, "", append([]string{"--set", "http.enabled=false"}, args...)...)
		assert.Zero(t, r.code, "%v: %s", args, r.stderr)
		assert.Equal(t, "x\n", r.stdout)
	}
}

func TestARunRefusesWhatLintReports(t *testing.T) {
	path := writeFile(t, "input:\n  robustmq_kafka:\n    topic_id: a/#/b\noutput:\n  drop: {}\n")
	says := `topic_id: "a/#/b": '#' must be the last level`
	lint := call(t, "", "lint", path)
	assert.Equal(t, 1, lint.code)
	assert.Contains(t, lint.stderr, path+"(3,15) "+says)
	run := call(t, "", "-c", path, "--set", "http.enabled=false")
	assert.Equal(t, 1, run.code)
	assert.Contains(t, run.stderr, says)
}

func TestUpstreamsCommandsWork(t *testing.T) {
	list := call(t, "", "list", "inputs", "outputs", "processors")
	assert.Zero(t, list.code)
	assert.Equal(t, 2, strings.Count(list.stdout, "- robustmq_kafka\n"))
	assert.Contains(t, list.stdout, "- robustmq_envelope\n")

	blobl := call(t, `{"a":1}`, "blobl", "root.b = this.a + 1")
	assert.Zero(t, blobl.code)
	assert.JSONEq(t, `{"b":2}`, blobl.stdout)

	template := call(t, "", "template", "lint", "../templates/...")
	assert.Zero(t, template.code, template.stderr)

	test := call(t, "", "test", "../config/...")
	assert.Zero(t, test.code, test.stdout+test.stderr)
	assert.Contains(t, test.stdout, "succeeded")
}

func TestWhatCreatePrintsKeepsTheOrderAndLints(t *testing.T) {
	for _, args := range [][]string{{"create", "--small"}, {"create"}} {
		r := call(t, "", append(args, "robustmq_kafka/robustmq_envelope/robustmq_kafka")...)
		assert.Zero(t, r.code)
		assert.Contains(t, r.stdout, "\n  threads: 1\n", "%v", args)
		assert.Contains(t, r.stdout, "topic_id: \"\"")
		assert.Contains(t, r.stdout, "bootstrap_servers: \"\"")
	}
}

func TestEchoScrubsTheTemplatesPasswords(t *testing.T) {
	path := writeFile(t, `
input:
  robustmq_kafka: { topic_id: a, username: ada, password: secret-one }
output:
  robustmq_kafka:
    bootstrap_servers: localhost:9092
    topic: t
    sasl: [ { mechanism: PLAIN, username: ada, password: secret-two } ]
`)
	r := call(t, "", "echo", path)
	assert.Zero(t, r.code, r.stderr)
	assert.NotContains(t, r.stdout, "secret-")
	assert.Equal(t, 2, strings.Count(r.stdout, "!!!SECRET_SCRUBBED!!!"))
	assert.Contains(t, r.stdout, "address: 127.0.0.1:4195")
	assert.Contains(t, r.stdout, "threads: 1")
}

// TestStreamsModeRunsAndStops starts a stream, asks for it, and ends with
// SIGTERM.
func TestStreamsModeRunsAndStops(t *testing.T) {
	path, err := builtBinary()
	require.NoError(t, err)
	stream := writeFile(t, "input:\n  generate: { mapping: root = \"x\", interval: 1s }\noutput:\n  drop: {}\n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := exec.Command(path, "--set", "http.address="+address, "streams", stream)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + address + "/streams")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(body), `"pipeline"`)
	}, 20*time.Second, 50*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-exited, "%s", output.String())
}
