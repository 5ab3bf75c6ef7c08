package tests

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

// call runs the binary to its end.
func call(t *testing.T, stdin string, args ...string) program.Result {
	t.Helper()
	return program.Call(t, stdin, nil, program.Path(t), args...)
}

func TestVersionTellsWhatIsInside(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		r := call(t, "", flag)
		assert.Zero(t, r.Code)
		for _, word := range []string{"robustmq-connect ", "commit: ", "go:      go1.", "benthos: v4.", "connect: v4."} {
			assert.Contains(t, r.Stdout, word)
		}
	}
}

func TestHelpIsOurs(t *testing.T) {
	r := call(t, "", "--help")
	assert.Zero(t, r.Code)
	assert.Contains(t, r.Stdout, "robustmq-connect moves MQTT messages into Kafka")
	for _, command := range []string{"run", "lint", "test", "list", "create", "template", "blobl", "streams", "demo", "mqtt", "completion"} {
		assert.Contains(t, r.Stdout, "\n  "+command+" ")
	}
	for _, foreign := range []string{"Benthos", "mundane", "studio", "http"} {
		assert.NotContains(t, r.Stdout, foreign)
	}
}

func TestWithoutAPipelineFileHelpIsPrintedAndTheCallFails(t *testing.T) {
	for _, args := range [][]string{nil, {"run"}, {"--log.level", "debug"}, {"run", "--chilled"}, {"--set", "http.enabled=false"}} {
		r := call(t, "would be piped\n", args...)
		assert.Equal(t, 1, r.Code, "%v", args)
		assert.Empty(t, r.Stdout)
		assert.Contains(t, r.Stderr, "robustmq-connect")
	}
}

func TestBadCallsSayOneLine(t *testing.T) {
	broken := program.WriteFile(t, "input: [")
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
		assert.NotZero(t, r.Code, "%v", c.args)
		assert.Contains(t, r.Stderr, c.says)
		assert.Equal(t, 1, strings.Count(r.Stderr, "\n"), "%v says:\n%s", c.args, r.Stderr)
		assert.NotContains(t, r.Stderr, "goroutine ")
	}
}

func TestRunTakesItsFileAsAFlagToo(t *testing.T) {
	path := program.WriteFile(t, "input:\n  generate: { mapping: root = \"x\", count: 1 }\noutput:\n  stdout: {}\n")
	for _, args := range [][]string{{"run", "-c", path}, {"run", path}, {"-c", path}, {"-c", path, "run"}} {
		r := call(t, "", append([]string{"--set", "http.enabled=false"}, args...)...)
		assert.Zero(t, r.Code, "%v: %s", args, r.Stderr)
		assert.Equal(t, "x\n", r.Stdout)
	}
}

func TestARunRefusesWhatLintReports(t *testing.T) {
	path := program.WriteFile(t, "input:\n  robustmq_kafka:\n    topic_id: a/#/b\noutput:\n  drop: {}\n")
	says := `topic_id: "a/#/b": '#' must be the last level`
	lint := call(t, "", "lint", path)
	assert.Equal(t, 1, lint.Code)
	assert.Contains(t, lint.Stderr, path+"(3,15) "+says)
	run := call(t, "", "-c", path, "--set", "http.enabled=false")
	assert.Equal(t, 1, run.Code)
	assert.Contains(t, run.Stderr, says)
}

func TestUpstreamsCommandsWork(t *testing.T) {
	list := call(t, "", "list", "inputs", "outputs", "processors")
	assert.Zero(t, list.Code)
	assert.Equal(t, 2, strings.Count(list.Stdout, "- robustmq_kafka\n"))
	assert.Contains(t, list.Stdout, "- robustmq_envelope\n")

	blobl := call(t, `{"a":1}`, "blobl", "root.b = this.a + 1")
	assert.Zero(t, blobl.Code)
	assert.JSONEq(t, `{"b":2}`, blobl.Stdout)

	template := call(t, "", "template", "lint", "../templates/...")
	assert.Zero(t, template.Code, template.Stderr)

	test := call(t, "", "test", "../config/...")
	assert.Zero(t, test.Code, test.Stdout+test.Stderr)
	assert.Contains(t, test.Stdout, "succeeded")
}

func TestWhatCreatePrintsKeepsTheOrderAndLints(t *testing.T) {
	for _, args := range [][]string{{"create", "--small"}, {"create"}} {
		r := call(t, "", append(args, "robustmq_kafka/robustmq_envelope/robustmq_kafka")...)
		assert.Zero(t, r.Code)
		assert.Contains(t, r.Stdout, "\n  threads: 1\n", "%v", args)
		assert.Contains(t, r.Stdout, "topic_id: \"\"")
		assert.Contains(t, r.Stdout, "bootstrap_servers: \"\"")
	}
}

func TestEchoScrubsTheTemplatesPasswords(t *testing.T) {
	path := program.WriteFile(t, `
input:
  robustmq_kafka: { topic_id: a, username: ada, password: secret-one }
output:
  robustmq_kafka:
    bootstrap_servers: localhost:9092
    topic: t
    sasl: [ { mechanism: PLAIN, username: ada, password: secret-two } ]
`)
	r := call(t, "", "echo", path)
	assert.Zero(t, r.Code, r.Stderr)
	assert.NotContains(t, r.Stdout, "secret-")
	assert.Equal(t, 2, strings.Count(r.Stdout, "!!!SECRET_SCRUBBED!!!"))
	assert.Contains(t, r.Stdout, "address: 127.0.0.1:4195")
	assert.Contains(t, r.Stdout, "threads: 1")
}

// TestStreamsModeRunsAndStops starts a stream, asks for it, and ends with
// SIGTERM.
func TestStreamsModeRunsAndStops(t *testing.T) {
	stream := program.WriteFile(t, "input:\n  generate: { mapping: root = \"x\", interval: 1s }\noutput:\n  drop: {}\n")
	p := program.StartPipeline(t, "streams", stream)
	require.Eventually(t, func() bool { _, body := p.Get("/streams"); return strings.Contains(body, `"pipeline"`) },
		20*time.Second, 50*time.Millisecond)
	code, _ := p.Stop()
	require.Zero(t, code, p.Output())
}
