package tests

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// robustCtl runs lines of a shell in which the binary is named robust-ctl.
func robustCtl(t *testing.T, stdin, lines string, environment ...string) program.Result {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Symlink(program.Path(t), filepath.Join(dir, "robust-ctl")))
	environment = append(environment, "PATH="+dir+":"+os.Getenv("PATH"))
	return program.Call(t, stdin, environment, "bash", "-e", "-c", lines)
}

// The lines are copied unchanged from RobustMQ's documentation.
func TestTheDocumentsLinesWorkVerbatim(t *testing.T) {
	var created map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", admin.ServerName) // with a RobustMQ, create wants another strategy than block
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
	t.Cleanup(server.Close)
	r := robustCtl(t, "", `
robust-ctl mqtt connector create --connector-name "iot_sensor_kafka" --connector-type "Kafka" \
  --config '{"bootstrap_servers": "kafka1:9092,kafka2:9092", "topic": "iot_sensors", "key": "sensor_key"}' \
  --topic-id "iot/sensors/+/data"
robust-ctl mqtt connector list
robust-ctl mqtt connector list --connector-name "iot_sensor_kafka"
robust-ctl mqtt connector delete --connector-name "iot_sensor_kafka"
`, "ROBUSTMQ_API_URL="+strings.TrimPrefix(server.URL, "http://"))
	assert.Zero(t, r.Code, r.Stderr)
	assert.True(t, strings.HasPrefix(r.Stdout, "Created successfully!\nconnector list result:\n"), r.Stdout)
	assert.True(t, strings.HasSuffix(r.Stdout, "\nDeleted successfully!\n"), r.Stdout)
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
	assert.Zero(t, r.Code, r.Stderr)
	assert.Contains(t, r.Stdout, "acknowledged by the broker")
	assert.EqualValues(t, 1, broker.Received())

	r = robustCtl(t, "a\nb\n", "robust-ctl mqtt publish -t a -q 1 --server "+broker.Addr())
	assert.Zero(t, r.Code, r.Stderr)
	assert.EqualValues(t, 3, broker.Received())
}

func TestAFailingRobustCtlPrintsOneLine(t *testing.T) {
	for line, says := range map[string]string{
		"robust-ctl mqtt connector list --server 127.0.0.1:1":           "connection refused: start the server with",
		"robust-ctl mqtt connector delete -c x --server 127.0.0.1:1":    `deleting connector "x": `,
		"robust-ctl mqtt connector":                                     "robust-ctl mqtt connector needs a subcommand",
		"robust-ctl mqtt connector create --nope":                       "see robust-ctl mqtt connector create --help",
		"robust-ctl mqtt publish -t a -m x --server 127.0.0.1:1":        "no broker listens there",
		"robust-ctl mqtt publish -t a -m x --server 127.0.0.1:1 -q two": "want 0, 1 or 2",
	} {
		r := robustCtl(t, "", line)
		assert.Equal(t, 1, r.Code, line)
		assert.Empty(t, r.Stdout, line)
		assert.Contains(t, r.Stderr, says)
		assert.Equal(t, 1, strings.Count(r.Stderr, "\n"), r.Stderr)
	}
}

func TestNamedRobustCtlItShowsTheHelpOfMQTT(t *testing.T) {
	for line, code := range map[string]int{"robust-ctl": 1, "robust-ctl --help": 0, "robust-ctl mqtt --help": 0} {
		r := robustCtl(t, "", line)
		assert.Equal(t, code, r.Code, line)
		assert.Contains(t, r.Stdout+r.Stderr, "robust-ctl mqtt [command options] COMMAND")
	}
}

// bash itself completes a line, with the binary's suggestions.
func TestBashCompletesALine(t *testing.T) {
	r := robustCtl(t, "", `
source <(robust-ctl completion bash)
COMP_WORDS=(robust-ctl mqtt connector create --con); COMP_CWORD=4
_robustmq_connect || true
printf '%s\n' "${COMPREPLY[@]}"
COMP_WORDS=(robust-ctl mqtt publish --message '$(echo run >&2)' ''); COMP_CWORD=5
_robustmq_connect || true
`)
	assert.Zero(t, r.Code)
	assert.Equal(t, "--connector-name\n--connector-type\n--config\n", r.Stdout)
	assert.Empty(t, r.Stderr, "nothing of the line is run")
}
