package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

// call runs the binary until it ends.
func call(t *testing.T, stdin string, args ...string) program.Result {
	t.Helper()
	return program.Call(t, stdin, nil, program.Path(t), args...)
}

func TestVersionPrintsTheBuild(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		r := call(t, "", flag)
		assert.Zero(t, r.Code)
		for _, word := range []string{"robustmq-connect ", "commit: ", "go:      go1.", "benthos: v4.", "connect: v4."} {
			assert.Contains(t, r.Stdout, word)
		}
	}
}

func TestHelpDescribesThisProgram(t *testing.T) {
	r := call(t, "", "--help")
	assert.Zero(t, r.Code)
	assert.Contains(t, r.Stdout, "robustmq-connect moves MQTT messages into Kafka")
	assert.Contains(t, r.Stdout, "from Kafka to MQTT, is the input robustmq_kafka_source")
	for _, command := range []string{"run", "lint", "test", "list", "create", "template", "blobl", "streams", "demo", "serve", "health", "token", "mqtt", "connectors", "completion"} {
		assert.Contains(t, r.Stdout, "\n  "+command+" ")
	}
	for _, foreign := range []string{"Benthos", "mundane", "studio", "http"} {
		assert.NotContains(t, r.Stdout, foreign)
	}
}

func TestWithoutAPipelineFileHelpIsPrintedAndTheCommandFails(t *testing.T) {
	for _, args := range [][]string{nil, {"run"}, {"--log.level", "debug"}, {"run", "--chilled"}, {"--set", "http.enabled=false"}} {
		r := call(t, "would be piped\n", args...)
		assert.Equal(t, 1, r.Code, "%v", args)
		assert.Empty(t, r.Stdout)
		assert.Contains(t, r.Stderr, "robustmq-connect")
	}
}

const connectorAdvice = "../config/connector.json is a connector, not a pipeline; print its pipeline: robustmq-connect mqtt connector export -f ../config/connector.json"

func TestInvalidCommandsPrintOneLine(t *testing.T) {
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
		{[]string{"-c", broken}, "(1,1) this is not YAML"},
		{[]string{"lint", broken}, "(1,1) this is not YAML"},
		{[]string{"lint"}, "no file was given"},
		{[]string{"mqtt", "connector", "export", "-f", "/nowhere/connector.json"}, "/nowhere/connector.json"},
		{[]string{"studio"}, "not part of this distribution"},
		{[]string{"pipeline.yaml"}, "pipeline.yaml is not a command; to run this file: robustmq-connect -c pipeline.yaml"},
		{[]string{"--log.level", "debug", "some/where.YML"}, "to run this file: robustmq-connect -c some/where.YML"},
		{[]string{"../config/connector.json"}, connectorAdvice},
		{[]string{"-c", "../config/connector.json"}, connectorAdvice},
		{[]string{"run", "../config/connector.json"}, connectorAdvice},
		{[]string{"run", "--chilled", "-c", "../config/connector.json"}, connectorAdvice},
		{[]string{"lint", "../config/connector.json"}, connectorAdvice},
		{[]string{"create", "nope//drop"}, `"nope" is not a component of kind input in this program`},
		{[]string{"create", "stdin/nope/drop"}, `"nope" is not a component of kind processor in this program`},
		{[]string{"create", "a/b/c/d"}, "want INPUT/PROCESSORS/OUTPUT"},
		{[]string{"create", "stdin", "--small"}, "flags must be before them"},
		{[]string{"list", "imputs"}, `"imputs" is not a kind of component; the kinds are inputs, `},
	} {
		r := call(t, "", c.args...)
		assert.NotZero(t, r.Code, "%v", c.args)
		assert.Contains(t, r.Stderr, c.says)
		assert.Equal(t, 1, strings.Count(r.Stderr, "\n"), "%v says:\n%s", c.args, r.Stderr)
		assert.NotContains(t, r.Stderr, "goroutine ")
	}
}

func TestRunAcceptsItsFileAsAFlag(t *testing.T) {
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

// Upstream's pipeline without an input reads standard input.
func TestAPipelineWithoutAnInputIsRefusedByLintAndRun(t *testing.T) {
	path := program.WriteFile(t, "http: { enabled: false }\noutput:\n  stdout: {}\n")
	says := path + "(2,1) input: is missing; add one, for example robustmq_kafka with its topic_id\n"
	for _, args := range [][]string{{"lint", path}, {"-c", path}, {"run", path}, {"run", "--chilled", path}} {
		r := call(t, "would be read\n", args...)
		assert.Equal(t, 1, r.Code, "%v", args)
		assert.NotContains(t, r.Stdout, "would be read", "%v", args)
		assert.True(t, strings.HasSuffix("\n"+r.Stderr, "\n"+says), "%v says:\n%s", args, r.Stderr)
	}
	r := call(t, "is read\n", "-c", path, "--set", "input.stdin.auto_replay_nacks=true")
	assert.Zero(t, r.Code, "--set gives it one: %s", r.Stderr)
	assert.Equal(t, "is read\n", r.Stdout)
}

func TestABadFailureStrategyAtARunNamesItsLine(t *testing.T) {
	for component, settings := range map[string]string{
		"robustmq_kafka": "bootstrap_servers: 127.0.0.1:1", "kafka_franz": "seed_brokers: [ 127.0.0.1:1 ]",
	} {
		path := program.WriteFile(t, "http: { enabled: false }\ninput:\n  generate: { mapping: root = 1 }\noutput:\n  "+component+":\n    "+settings+
			"\n    topic: t\n    failure_strategy: discrad\n")
		r := call(t, "", "-c", path)
		assert.Equal(t, 1, r.Code)
		assert.Contains(t, r.Stderr, path+`(8,23) failure_strategy: value "discrad" is unknown; must be one of block, discard, discard_after_retry, dead_message_queue`)
		assert.Equal(t, 1, strings.Count(r.Stderr, "discrad"), "said once:\n%s", r.Stderr)
	}
}

// A secret of digits alone, which may come from the environment, is not shown by the
// error that it causes.
func TestASecretThatIsANumberIsRefusedAtARunWithoutBeingShown(t *testing.T) {
	t.Setenv("DIGITS_OF_A_TEST", "345678")
	const head = "http: { enabled: false }\ninput:\n  generate: { mapping: root = 1 }\noutput:\n  "
	for component, want := range map[string]string{
		"kafka_franz:\n    seed_brokers: [ 127.0.0.1:1 ]\n    topic: t\n    sasl: [ { mechanism: PLAIN, username: u, password: 345678 } ]\n":                  "(8,56) sasl.0.password: must be text; put it in quotes",
		"kafka_franz:\n    seed_brokers: [ 127.0.0.1:1 ]\n    topic: t\n    sasl: [ { mechanism: PLAIN, username: u, password: ${DIGITS_OF_A_TEST} } ]\n":     "(8,56) sasl.0.password: must be text; put it in quotes",
		"robustmq_kafka:\n    bootstrap_servers: 127.0.0.1:1\n    topic: t\n    sasl: [ { mechanism: PLAIN, username: u, password: ${DIGITS_OF_A_TEST} } ]\n": "(8,56) sasl.0.password: must be text; put it in quotes",
		"mqtt:\n    urls: [ tcp://127.0.0.1:1 ]\n    topic: t\n    user: u\n    password: ${DIGITS_OF_A_TEST}\n":                                              "(9,15) password: must be text; put it in quotes",
	} {
		path := program.WriteFile(t, head+component)
		r := call(t, "", "-c", path)
		assert.Equal(t, 1, r.Code)
		assert.Contains(t, r.Stderr, path+want)
		assert.NotContains(t, r.Stdout+r.Stderr, "345678")
		// With --set the file alone is not what was run.
		r = call(t, "", "-c", path, "--set", "shutdown_timeout=1s")
		assert.Equal(t, 1, r.Code)
		assert.Contains(t, r.Stderr, "expected string value, got number; put it in quotes")
		assert.NotContains(t, r.Stdout+r.Stderr, "345678")
	}
	path := program.WriteFile(t, strings.TrimPrefix(head, "http: { enabled: false }\n")+"robustmq_kafka:\n    bootstrap_servers: 127.0.0.1:1\n    topic: t\n    sasl: [ { mechanism: PLAIN, username: u, password: 345678 } ]\n")
	r := call(t, "", "streams", "--no-api", path) // upstream's streams have no lint of ours
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "expected string value, got number; put it in quotes")
	assert.NotContains(t, r.Stdout+r.Stderr, "345678")
}

// lint's findings about a file are not reported if something else prevents the start.
func TestARunThatFailsForAnotherReasonReportsThatReason(t *testing.T) {
	path := program.WriteFile(t, "http: { enabled: false }\ninput:\n  generate: { mapping: root = 1 }\noutput:\n  robustmq_kafka: { bootstrap_servers: \"127.0.0.1:1\" }\n")
	r := call(t, "", "-c", path, "--set", "output.robustmq_kafka.topic=a b")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, `topic: "a b"`)
	assert.NotContains(t, r.Stderr, "required")
}

func TestTheLogShowsBothVersions(t *testing.T) {
	path := program.WriteFile(t, "http: { enabled: false }\ninput:\n  generate: { mapping: root = 1, count: 1 }\noutput:\n  drop: {}\n")
	r := call(t, "", "-c", path)
	require.Zero(t, r.Code, r.Stderr)
	upstream := regexp.MustCompile(`benthos: (v4\.\S+)`).FindStringSubmatch(call(t, "", "--version").Stdout)
	require.NotNil(t, upstream)
	assert.Contains(t, r.Stdout, "benthos_version="+upstream[1]+" ")
	assert.Contains(t, r.Stdout, `msg="Starting robustmq-connect" @service=robustmq-connect version=dev`)
}

func TestTheShortestPipelineStartsWithoutAWarning(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	defer broker.Close()
	kafka, err := embedded.StartKafka("127.0.0.1:0", "t")
	require.NoError(t, err)
	defer kafka.Close()
	path := program.WriteFile(t, "input:\n  robustmq_kafka:\n    topic_id: a\n    urls: [ "+broker.URL()+" ]\noutput:\n  robustmq_kafka:\n    bootstrap_servers: "+
		kafka.Addr()+"\n    topic: t\n")
	p := program.StartPipeline(t, "-c", path)
	p.WaitReady()
	code, _ := p.Stop()
	assert.Zero(t, code)
	assert.Contains(t, p.Output(), `level=info msg="The MQTT client id is rmqc`)
	assert.NotRegexp(t, "level=(warn|error)", p.Output())
}

func TestUpstreamsCommandsWork(t *testing.T) {
	list := call(t, "", "list", "inputs", "outputs", "processors")
	assert.Zero(t, list.Code)
	assert.Equal(t, 2, strings.Count(list.Stdout, "- robustmq_kafka\n"))
	assert.Contains(t, list.Stdout, "- robustmq_envelope\n")
	assert.Contains(t, call(t, "", "list", "--format", "jsonschema").Stdout, `"robustmq_kafka"`)
	assert.Contains(t, call(t, "", "list", "--format", "cue").Stdout, "robustmq_kafka")

	blobl := call(t, `{"a":1}`, "blobl", "root.b = this.a + 1")
	assert.Zero(t, blobl.Code)
	assert.JSONEq(t, `{"b":2}`, blobl.Stdout)

	template := call(t, "", "template", "lint", "../templates/...")
	assert.Zero(t, template.Code, template.Stderr)

	test := call(t, "", "test", "../config/...")
	assert.Zero(t, test.Code, test.Stdout+test.Stderr)
	assert.Contains(t, test.Stdout, "succeeded")
}

func TestCreatePrintsAnOrderedPipelineThatLints(t *testing.T) {
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

// Upstream's stream without an input reads standard input.
func TestAStreamWithoutAnInputIsRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	right := write("right.yaml", "input: { generate: { mapping: root = 1, count: 1 } }\noutput: { drop: {} }\n")
	write("right_benthos_test.yaml", "tests: []\n")
	wrong := write("wrong.yaml", "\npipeline: { processors: [ { noop: {} } ] }\noutput: { stdout: {} }\n")
	observability := program.WriteFile(t, "http: { enabled: false }\n")
	says := wrong + "(2,1) input: is missing; add one, for example robustmq_kafka with its topic_id\n"
	for _, paths := range [][]string{
		{wrong},
		{right, wrong},
		{dir},
		{filepath.Join(dir, "w*.yaml")},
		{"-o", observability, wrong},
		{"--observability=" + observability, wrong},
		{"--no-api", "-w", wrong},
	} {
		r := call(t, "would be read\n", append([]string{"streams"}, paths...)...)
		assert.Equal(t, 1, r.Code, "%v", paths)
		assert.Empty(t, r.Stdout)
		assert.Contains(t, r.Stderr, says)
		assert.Equal(t, 1, strings.Count(r.Stderr, "\n"), r.Stderr)
	}
	r := call(t, "", "streams", write("empty.yaml", "logger: { level: INFO }\n"))
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "empty.yaml(1,1) input: is missing")
	r = call(t, "", "streams", "../config/connector.json")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, connectorAdvice)
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
