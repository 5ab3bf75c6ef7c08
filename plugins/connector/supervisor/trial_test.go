package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
	"github.com/robustmq/robustmq-connect/tests/components"
)

// The test program runs itself as a service, which a connector ends.
const (
	trialDir    = "TRIAL_TEST_DIR"
	trialEnd    = "TRIAL_TEST_END" // overflow or kill
	trialResume = "TRIAL_TEST_RESUME"
)

const quarantinedMetric = "robustmq_connect_connector_quarantined"

// idle is an input that receives nothing, and ends the process where it is to.
type idle struct{ end string }

func (i idle) Connect(context.Context) error {
	switch i.end {
	case "overflow":
		debug.SetMaxStack(1 << 20)
		go overflow(0)
	case "kill": // as the kernel does where memory runs out
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return nil
}

func overflow(n int) int {
	if n < 0 {
		return 0
	}
	return overflow(n+1) + n
}

func (idle) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	<-ctx.Done()
	return nil, nil, ctx.Err()
}

func (idle) WriteBatch(context.Context, service.MessageBatch) error { return nil }

func (idle) Close(context.Context) error { return nil }

// trialService is the service in its own process. It writes the states of its
// connectors until a signal stops it.
func trialService(t *testing.T, dir string) {
	t.Helper()
	opened, err := store.Open(dir)
	require.NoError(t, err)
	trace, err := LastCrash(opened.Notes())
	require.NoError(t, err)
	env, err := components.Environment()
	require.NoError(t, err)
	s, err := New(Options{
		Environment: env, Store: opened, Notes: opened.Notes(), Trial: 200 * time.Millisecond, LastCrash: trace, DrainTimeout: time.Millisecond,
		MQTT:   connector.Settings{setting("urls", []string{"tcp://127.0.0.1:1"})},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	require.NoError(t, err)
	require.NoError(t, s.env.RegisterBatchInput("mqtt", mqtt.Spec(),
		func(conf *service.ParsedConfig, _ *service.Resources) (service.BatchInput, error) {
			if id, err := conf.FieldString("client_id"); err != nil || id != "culprit" {
				return idle{}, err
			}
			return idle{os.Getenv(trialEnd)}, nil
		}))
	require.NoError(t, s.env.RegisterBatchOutput("kafka_franz", kafka.Spec(),
		func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			return idle{}, service.BatchPolicy{}, 1, nil
		}))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	require.NoError(t, s.Start())
	if name := os.Getenv(trialResume); name != "" {
		_, err := s.Resume(t.Context(), name)
		require.NoError(t, err)
	}
	for {
		states := map[string]string{}
		for _, status := range s.List() {
			states[status.Name] = string(status.State) + " " + status.Reason
		}
		answer := httptest.NewRecorder()
		s.Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		for line := range strings.Lines(answer.Body.String()) {
			if strings.HasPrefix(line, quarantinedMetric) && strings.HasSuffix(line, "} 1\n") {
				states[quarantinedMetric] += line
			}
		}
		line, err := json.Marshal(states)
		require.NoError(t, err)
		fmt.Println(string(line))
		select {
		case <-stop:
			require.NoError(t, s.Close())
			require.NoError(t, opened.Close())
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// trialStore is a store with connectors of these names; their client ids are the
// same.
func trialStore(t *testing.T, names ...string) (dir string) {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	opened, err := store.Open(r.dir)
	require.NoError(t, err)
	for _, name := range names {
		c := r.parse(name, "in/#", fmt.Sprintf(`{"bootstrap_servers":"127.0.0.1:1","topic":"t","client_id":%q}`, name), `{"strategy":"block"}`)
		require.NoError(t, opened.Put(store.Definition{Connector: stamped(c, time.Now(), time.Now())}))
	}
	require.NoError(t, opened.Close())
	return r.dir
}

// runTrial starts the service once. It returns true when the connectors have the
// expected states, after stopping the service; false if the process ended by itself.
func runTrial(t *testing.T, dir string, environment []string, as func(map[string]string) bool) bool {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestAKillOfTheServiceFromOutsideQuarantinesNoConnector$")
	child.Env = append(append(os.Environ(), trialDir+"="+dir), environment...)
	var log strings.Builder
	child.Stderr = &log
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	timeout := time.AfterFunc(60*time.Second, func() { _ = child.Process.Kill() })
	defer timeout.Stop()
	var last map[string]string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if json.Unmarshal(lines.Bytes(), &last) == nil && as(last) {
			require.NoError(t, child.Process.Signal(syscall.SIGTERM))
			_, _ = io.Copy(io.Discard, out)
			require.NoError(t, child.Wait(), log.String())
			return true
		}
	}
	_ = child.Wait() // it was ended
	require.True(t, timeout.Stop(), "it stands like this: %v\n%s", last, &log)
	return false
}

func running(names ...string) func(map[string]string) bool {
	return func(states map[string]string) bool {
		for _, name := range names {
			if states[name] != "Running " {
				return false
			}
		}
		return true
	}
}

// A stack overflow cannot be recovered from; nor can a kill by the kernel, which leaves
// no trace.
func TestTheConnectorThatEndsTheProcessIsQuarantined(t *testing.T) {
	others := []string{"a", "b", "x", "z"}
	for end, test := range map[string]struct {
		most int
		why  string
	}{
		"overflow": {2 + 3 + 2, "fatal error: stack overflow"},
		"kill":     {8 + 3 + 4, "it was killed, as the kernel does where memory runs out"},
	} {
		t.Run(end, func(t *testing.T) {
			dir := trialStore(t, append(others, "culprit")...)
			held := func(states map[string]string) bool {
				return running(others...)(states) && strings.HasPrefix(states["culprit"], "Failed ")
			}
			deaths := 0
			for !runTrial(t, dir, []string{trialEnd + "=" + end}, held) {
				deaths++
				require.LessOrEqual(t, deaths, test.most)
			}
			assert.Greater(t, deaths, 2)

			// It stays quarantined, and its reason says why and what to do.
			var reason, metric string
			require.True(t, runTrial(t, dir, []string{trialEnd + "=" + end}, func(states map[string]string) bool {
				reason, metric = states["culprit"], states[quarantinedMetric]
				return held(states)
			}))
			assert.Regexp(t, `^Failed failed since 2.*: quarantined, because it ended the process whenever it ran alone: `+test.why+`; resume or update starts it again$`, reason)
			assert.Equal(t, quarantinedMetric+"{connector=\"culprit\"} 1\n", metric)
			if end == "overflow" {
				trace, err := os.ReadFile(filepath.Join(dir, "crash-last.log"))
				require.NoError(t, err)
				assert.Contains(t, string(trace), "supervisor.overflow")
			}

			// After resume, it is tried again.
			assert.False(t, runTrial(t, dir, []string{trialEnd + "=" + end, trialResume + "=culprit"}, func(map[string]string) bool { return false }))
			require.True(t, runTrial(t, dir, []string{trialEnd + "=nothing"}, running(append(others, "culprit")...)))
		})
	}
}

// Kills by a person, a liveness probe or a test do not depend on what runs.
func TestAKillOfTheServiceFromOutsideQuarantinesNoConnector(t *testing.T) {
	if dir := os.Getenv(trialDir); dir != "" {
		trialService(t, dir)
		return
	}
	names := []string{"a", "b", "c"}
	dir := trialStore(t, names...)
	for range 14 {
		child := exec.Command(os.Args[0], "-test.run=^TestAKillOfTheServiceFromOutsideQuarantinesNoConnector$")
		child.Env = append(os.Environ(), trialDir+"="+dir)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		_, err = out.Read(make([]byte, 1)) // it has started
		require.NoError(t, err)
		require.NoError(t, child.Process.Kill())
		_ = child.Wait() // killed
	}
	require.True(t, runTrial(t, dir, nil, running(names...)))
}
