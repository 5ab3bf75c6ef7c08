package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"
)

// runMQTT runs the mqtt command as the command line does.
func runMQTT(stdin string, args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	app := &ucli.App{
		Name: binaryName, Reader: strings.NewReader(stdin), Writer: &out, ErrWriter: &errOut,
		Commands:       []*ucli.Command{mqttCommand(service.GlobalEnvironment())},
		ExitErrHandler: func(*ucli.Context, error) {},
	}
	err = app.Run(append([]string{binaryName, "mqtt"}, args...))
	return out.String(), errOut.String(), err
}

const documentedConnector = `{"cluster_name":"default","connector_name":"kafka_connector_01","connector_type":"Kafka","config":"{\"bootstrap_servers\": \"localhost:9092\", \"topic\": \"mqtt_messages\", \"key\": \"sensor_data\"}","topic_id":"sensor/data","status":"Idle","broker_id":null,"create_time":1640995200,"update_time":1640995200}`

const documentedPipeline = `# RobustMQ connector kafka_connector_01
input:
  label: kafka_connector_01
  robustmq_kafka:
    topic_id: sensor/data
output:
  robustmq_kafka:
    bootstrap_servers: localhost:9092
    topic: mqtt_messages
    key: sensor_data
`

func TestExportPrintsThePipelineOfTheDocumentedConnector(t *testing.T) {
	path := writeFile(t, t.TempDir(), "connector.json", documentedConnector)
	for _, flag := range []string{"-f", "--file"} {
		stdout, stderr, err := runMQTT("", "connector", "export", flag, path)
		require.NoError(t, err)
		assert.Equal(t, documentedPipeline, stdout)
		assert.Empty(t, stderr)
	}
}

func TestExportReadsStandardInput(t *testing.T) {
	stdout, _, err := runMQTT(documentedConnector, "connector", "export", "-f", "-")
	require.NoError(t, err)
	assert.Equal(t, documentedPipeline, stdout)
}

func TestExportTellsItsNotesOnStandardError(t *testing.T) {
	given := strings.Replace(documentedConnector, `\"key\"`, `\"acks\": \"1\", \"linger_ms\": 20, \"key\"`, 1)
	stdout, stderr, err := runMQTT(given, "connector", "export", "-f", "-")
	require.NoError(t, err)
	assert.Contains(t, stdout, "    acks: \"1\"\n    idempotent_write: false\n")
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	require.Len(t, lines, 1)
	assert.True(t, strings.HasPrefix(lines[0], `standard input: note: acks "1" needs`), lines[0])
	assert.Contains(t, stdout, "    linger_ms: 20\n")
}

func TestExportPrintsWhatLints(t *testing.T) {
	settings := []string{
		``, `,\"key\":\"\"`, `,\"compression_type\":\"zstd\",\"batch_size\":1048576,\"retries\":100`, `,\"acks\":\"0\"`,
		`,\"acks\":\"1\"`, `,\"acks\":\"all\"`, `,\"acks\":\"-1\"`, `,\"linger_ms\":0`, `,\"retries\":1`,
		`,\"message_timeout_ms\":1000,\"cleanup_timeout_secs\":300`, `,\"key\":\"123\"`, `,\"key\":\"true\"`,
	}
	for _, setting := range settings {
		given := strings.Replace(documentedConnector, `, \"key\": \"sensor_data\"`, setting, 1)
		stdout, _, err := runMQTT(given, "connector", "export", "-f", "-")
		require.NoError(t, err, setting)
		path := writeFile(t, t.TempDir(), "pipeline.yaml", stdout)
		_, stderr, err := lintFiles(t, path)
		require.NoError(t, err, "%s\n%s", stderr, stdout)
	}
}

func TestExportRefuses(t *testing.T) {
	dir := t.TempDir()
	broken := writeFile(t, dir, "broken.json", `{"connector_name":"c"`)
	missing := filepath.Join(dir, "missing.json")
	with := func(old, replacement string) string { return strings.Replace(documentedConnector, old, replacement, 1) }
	tests := []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"no file", "", nil, "exporting a connector: name its file with -f connector.json"},
		{"an unknown flag", "", []string{"--nope"}, "exporting a connector: flag provided but not defined: -nope"},
		{"an argument too many", "", []string{"-f", broken, "x"}, "exporting a connector: name its file with -f"},
		{"a file that is not there", "", []string{"-f", missing}, "exporting " + missing + ": no such file or directory"},
		{"a folder", "", []string{"-f", dir}, "is a directory"},
		{"a file that is cut off", "", []string{"-f", broken}, "exporting " + broken + ": not one JSON object"},
		{"nothing on standard input", "", []string{"-f", "-"}, "exporting standard input: empty"},
		{"far too much", strings.Repeat(" ", maxConnectorFile+1), []string{"-f", "-"}, "over 1 MiB long"},
		{"servers without a port", with("localhost:9092", "localhost"), []string{"-f", "-"}, "bootstrap_servers"},
		{"an illegal filter", with("sensor/data", "a/#/b"), []string{"-f", "-"}, "'#' must be the last level"},
		{"an illegal Kafka topic", with("mqtt_messages", "a b"), []string{"-f", "-"}, "a Kafka topic name takes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, err := runMQTT(test.stdin, append([]string{"connector", "export"}, test.args...)...)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), "\n")
			assert.Empty(t, stdout)
			assert.Empty(t, stderr)
		})
	}
}

func TestMQTTWithoutASubcommandFails(t *testing.T) {
	for want, args := range map[string][]string{
		"mqtt needs a subcommand; there is mqtt connector export":              nil,
		`"topic" is no subcommand of mqtt; there is mqtt connector export`:     {"topic"},
		"connector needs a subcommand; there is mqtt connector export":         {"connector"},
		`"list" is no subcommand of connector; there is mqtt connector export`: {"connector", "list"},
	} {
		_, _, err := runMQTT("", args...)
		require.EqualError(t, err, want)
	}
}

// The examples are run by the tests of the whole; here they are linted with the
// components that this binary ships.
func TestExamplesLintWithTheComponentsOfTheBinary(t *testing.T) {
	examples, err := filepath.Glob("../../config/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(examples), 8)
	_, stderr, err := lintFiles(t, append([]string{"--skip-env-var-check"}, examples...)...)
	require.NoError(t, err, stderr)

	described, err := os.ReadFile("../../config/connector.json")
	require.NoError(t, err)
	stdout, _, err := runMQTT(string(described), "connector", "export", "-f", "-")
	require.NoError(t, err)
	assert.Equal(t, documentedPipeline, stdout)
}
