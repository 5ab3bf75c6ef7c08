package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

// robustCtl runs lines of a shell in which the binary is called robust-ctl.
func robustCtl(t *testing.T, stdin, lines string, environment ...string) result {
	t.Helper()
	path, err := builtBinary()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(path, filepath.Join(dir, "robust-ctl")))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", "-e", "-c", lines)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, environment...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// The lines are those of RobustMQ's document, as they stand.
func TestTheDocumentsLinesWorkVerbatim(t *testing.T) {
	var created map[string]any
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/cluster/connector/create":
			assert.NoError(t, json.NewDecoder(r.Body).Decode(&created))
			_, _ = w.Write([]byte(`{"code":0,"data":"success","error":null}`))
		case "/api/cluster/connector/delete":
			_, _ = w.Write([]byte(`{"code":0,"data":"success","error":null}`))
		default:
			_, _ = w.Write([]byte(`{"code":0,"data":{"data":[],"total_count":0},"error":null}`))
		}
	}))
	t.Cleanup(admin.Close)
	r := robustCtl(t, "", `
robust-ctl mqtt connector create --connector-name "iot_sensor_kafka" --connector-type "Kafka" \
  --config '{"bootstrap_servers": "kafka1:9092,kafka2:9092", "topic": "iot_sensors", "key": "sensor_key"}' \
  --topic-id "iot/sensors/+/data"
robust-ctl mqtt connector list
robust-ctl mqtt connector list --connector-name "iot_sensor_kafka"
robust-ctl mqtt connector delete --connector-name "iot_sensor_kafka"
`, "ROBUSTMQ_API_URL="+strings.TrimPrefix(admin.URL, "http://"))
	assert.Zero(t, r.code, r.stderr)
	assert.True(t, strings.HasPrefix(r.stdout, "Created successfully!\nconnector list result:\n"), r.stdout)
	assert.True(t, strings.HasSuffix(r.stdout, "\nDeleted successfully!\n"), r.stdout)
	assert.Equal(t, "kafka", created["connector_type"])
	assert.Equal(t, "iot/sensors/+/data", created["topic_name"])
	assert.Equal(t, `{"bootstrap_servers": "kafka1:9092,kafka2:9092", "topic": "iot_sensors", "key": "sensor_key"}`, created["config"])
}

func TestTheDocumentsPublishWorks(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	defer broker.Close()
	r := robustCtl(t, "", `robust-ctl mqtt --server `+broker.Addr()+` publish --username "test_user" --password "test_pass" --topic "iot/sensors/temp_001/data" \
  --qos 1 --message '{"temperature": 25.5, "humidity": 60, "timestamp": 1640995200}'`)
	assert.Zero(t, r.code, r.stderr)
	assert.Contains(t, r.stdout, "acknowledged by the broker")
	assert.EqualValues(t, 1, broker.Received())

	r = robustCtl(t, "a\nb\n", "robust-ctl mqtt publish -t a -q 1 --server "+broker.Addr())
	assert.Zero(t, r.code, r.stderr)
	assert.EqualValues(t, 3, broker.Received())
}

func TestARobustCtlThatCannotSaysOneLine(t *testing.T) {
	for line, says := range map[string]string{
		"robust-ctl mqtt connector list --server 127.0.0.1:1":           "connection refused: start the server with",
		"robust-ctl mqtt connector delete -c x --server 127.0.0.1:1":    `deleting connector "x": `,
		"robust-ctl mqtt connector":                                     "robust-ctl mqtt connector needs a subcommand",
		"robust-ctl mqtt connector create --nope":                       "see robust-ctl mqtt connector create --help",
		"robust-ctl mqtt publish -t a -m x --server 127.0.0.1:1":        "no broker listens there",
		"robust-ctl mqtt publish -t a -m x --server 127.0.0.1:1 -q two": "want 0, 1 or 2",
	} {
		r := robustCtl(t, "", line)
		assert.Equal(t, 1, r.code, line)
		assert.Empty(t, r.stdout, line)
		assert.Contains(t, r.stderr, says)
		assert.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
	}
}

func TestCalledRobustCtlItShowsTheHelpOfMQTT(t *testing.T) {
	for line, code := range map[string]int{"robust-ctl": 1, "robust-ctl --help": 0, "robust-ctl mqtt --help": 0} {
		r := robustCtl(t, "", line)
		assert.Equal(t, code, r.code, line)
		assert.Contains(t, r.stdout+r.stderr, "robust-ctl mqtt [command options] COMMAND")
	}
}

// bash itself completes a line, with the words that the binary gives it.
func TestBashCompletesALine(t *testing.T) {
	r := robustCtl(t, "", `
source <(robust-ctl completion bash)
COMP_WORDS=(robust-ctl mqtt connector create --con); COMP_CWORD=4
_robustmq_connect || true
printf '%s\n' "${COMPREPLY[@]}"
COMP_WORDS=(robust-ctl mqtt publish --message '$(echo run >&2)' ''); COMP_CWORD=5
_robustmq_connect || true
`)
	assert.Zero(t, r.code)
	assert.Equal(t, "--connector-name\n--connector-type\n--config\n", r.stdout)
	assert.Empty(t, r.stderr, "nothing of the line is run")
}
