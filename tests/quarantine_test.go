package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// endingFilter is the variable with the topic filter of the input that ends the
// process.
const endingFilter = "ROBUSTMQ_TEST_ENDING_FILTER"

// endingInput is added to the binary of these tests: for one topic filter, the mqtt
// input overflows the stack, which no Go program survives.
const endingInput = `package mqtt

import (
	"os"
	"runtime/debug"
	"slices"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func endProcess(conf *service.ParsedConfig) {
	topics, err := conf.FieldStringList("topics")
	if filter := os.Getenv("` + endingFilter + `"); err == nil && filter != "" && slices.Contains(topics, filter) {
		debug.SetMaxStack(1 << 20)
		go overflowStack(0)
	}
}

func overflowStack(n int) int {
	if n < 0 {
		return 0
	}
	return overflowStack(n+1) + n
}
`

// endingBinary builds the program with an input that ends the process. The shipped
// program does not contain it: the compiler gets the changed file as an overlay.
func endingBinary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	top, err := filepath.Abs("..")
	require.NoError(t, err)
	original := filepath.Join(top, "plugins", "mqtt", "input.go")
	text, err := os.ReadFile(original)
	require.NoError(t, err)
	const before = "c.guard = crash.Of(mgr)\n"
	require.Equal(t, 1, strings.Count(string(text), before), "the constructor of the input mqtt has changed: say here where it is called now")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		original: write("input.go", strings.Replace(string(text), before, before+"endProcess(conf)\n", 1)),
		filepath.Join(filepath.Dir(original), "ending.go"): write("ending.go", endingInput),
	}})
	require.NoError(t, err)
	binary := filepath.Join(dir, "robustmq-connect")
	out, err := exec.Command("go", "build", "-overlay", write("overlay.json", string(overlay)), "-o", binary,
		"github.com/robustmq/robustmq-connect/cmd/robustmq-connect").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// connectorStates returns the states of all connectors, with the reason of a failure.
func connectorStates(p *program.Process) map[string]string {
	var answer struct {
		Data struct {
			Data []struct {
				Name   string `json:"connector_name"`
				State  string
				Reason string
			}
		}
	}
	_, text := p.Get("/api/cluster/connector/list?tenant=default")
	states := map[string]string{}
	if json.Unmarshal([]byte(text), &answer) == nil { // nobody answers yet
		for _, c := range answer.Data.Data {
			states[c.Name] = strings.TrimSpace(c.State + " " + c.Reason)
		}
	}
	return states
}

// quarantineRig is a store whose service is started repeatedly.
type quarantineRig struct {
	t                    *testing.T
	binary, store, mqtts string
}

func newQuarantineRig(t *testing.T, binary string, filters map[string]string) *quarantineRig {
	t.Helper()
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	kafka, err := embedded.StartKafka("127.0.0.1:0", "out")
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	r := &quarantineRig{t, binary, t.TempDir(), broker.URL()}
	p := r.start("")
	p.WaitReady()
	for name, filter := range filters {
		config := fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, kafka.Addr())
		code, answer := post(t, p, "create", fmt.Sprintf(`{"connector_name":%q,"connector_type":"kafka","config":%s,`+
			`"failure_strategy":{"strategy":"block"},"tenant":"default","topic_name":%q}`, name, config, filter))
		require.Equal(t, http.StatusOK, code, answer)
	}
	r.waitRunning(p, filters)
	code, _ := p.Stop()
	require.Zero(t, code, p.Output())
	return r
}

// start runs the service. The input with this topic filter ends the process; "" for
// none.
func (r *quarantineRig) start(filter string) *program.Process {
	r.t.Helper()
	address := program.FreeAddress(r.t)
	cmd := exec.Command(r.binary, "serve", "--store", r.store, "--listen", address, "--mqtt-url", r.mqtts,
		"--trial-time", "500ms", "--drain-timeout", "1s")
	cmd.Env = append(os.Environ(), endingFilter+"="+filter)
	return program.StartCommand(r.t, address, cmd)
}

// survives waits until as returns true for the connectors' states; it returns false if
// the process ends first.
func (r *quarantineRig) survives(p *program.Process, as func(map[string]string) bool) bool {
	r.t.Helper()
	good := false
	require.Eventually(r.t, func() bool {
		good = as(connectorStates(p))
		return good || p.Ended()
	}, 60*time.Second, 20*time.Millisecond, "the states of the connectors: %v", connectorStates(p))
	return good
}

func (r *quarantineRig) waitRunning(p *program.Process, filters map[string]string) {
	r.t.Helper()
	require.True(r.t, r.survives(p, func(states map[string]string) bool { return allRun(states, filters, "") }), p.Output())
}

// allRun reports whether every connector except one is Running.
func allRun(states, filters map[string]string, but string) bool {
	for name := range filters {
		if name != but && states[name] != "Running" {
			return false
		}
	}
	return true
}

func TestTheBinaryQuarantinesTheConnectorThatEndsIt(t *testing.T) {
	filters := map[string]string{"a": "a/#", "b": "b/#", "culprit": "end/#", "x": "x/#", "z": "z/#"}
	r := newQuarantineRig(t, endingBinary(t), filters)
	held := func(states map[string]string) bool {
		return allRun(states, filters, "culprit") && strings.HasPrefix(states["culprit"], "Failed ")
	}

	deaths := 0
	var p *program.Process
	for {
		p = r.start("end/#")
		if r.survives(p, held) {
			break
		}
		deaths++
		require.LessOrEqual(t, deaths, 7, "two before the search, three to halve five, two to confirm")
		require.Contains(t, p.Output(), "stack overflow")
	}
	assert.GreaterOrEqual(t, deaths, 4)
	assert.Regexp(t, `^Failed failed since 2\S* \S*: quarantined, because it ended the process whenever it ran alone: fatal error: stack overflow; resume or update starts it again$`,
		connectorStates(p)["culprit"])
	code, answer := p.Get("/ready/connectors")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Contains(t, answer, "culprit")
	code, answer = p.Ready()
	assert.Equal(t, http.StatusOK, code, answer)
	trace, err := os.ReadFile(filepath.Join(r.store, "crash-last.log"))
	require.NoError(t, err)
	assert.Contains(t, string(trace), "overflowStack")
	stopped, _ := p.Stop()
	assert.Zero(t, stopped)

	// It stays quarantined after a restart, until somebody resumes it: then it is
	// tried.
	p = r.start("end/#")
	require.True(t, r.survives(p, held), p.Output())
	resume := `{"tenant":"default","connector_name":"culprit"}`
	request, err := http.Post("http://"+p.HTTP+"/api/cluster/connector/resume", "application/json", strings.NewReader(resume))
	if err == nil { // the process may end before it answers
		require.NoError(t, request.Body.Close())
	}
	require.Eventually(t, p.Ended, exampleTimeout, 10*time.Millisecond, "resume does not try it")
	p = r.start("")
	r.waitRunning(p, filters)
	stopped, _ = p.Stop()
	assert.Zero(t, stopped)
}

// A person or a liveness probe kills whatever is running.
func TestAKillOfTheBinaryFromOutsideQuarantinesNoConnector(t *testing.T) {
	filters := map[string]string{"a": "a/#", "b": "b/#", "c": "c/#"}
	r := newQuarantineRig(t, program.Path(t), filters)
	for range 12 {
		p := r.start("")
		// Connectors start when it serves; after some of the kills they are on trial.
		p.WaitLog("msg=Serving")
		p.Kill()
	}
	p := r.start("")
	r.waitRunning(p, filters)
	for _, state := range connectorStates(p) {
		assert.Equal(t, "Running", state)
	}
	code, _ := p.Stop()
	assert.Zero(t, code)
}
