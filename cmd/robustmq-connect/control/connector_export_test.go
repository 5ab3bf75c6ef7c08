package control

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

func TestExportAsksTheServerForAConnector(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"detail": gives(`{"code":0,"error":null,"data":{"last_send_time":0,` +
		`"connector_name":"c1","connector_type":"kafka","tenant":"default","status":"Running","topic_name":"sensors/+/data",` +
		`"config":"{\"bootstrap_servers\":\"kafka1:9092\",\"topic\":\"sensors\",\"username\":\"u\",\"password\":\"***\"}","failure_strategy":null}}`)})
	stdout, stderr, err := runMQTT("", "--server", server.URL, "connector", "export", "--connector-name", "c1")
	require.NoError(t, err)
	assert.Contains(t, stdout, "topic_id: sensors/+/data\n")
	assert.Contains(t, stdout, "password: \"${MQTT_PASSWORD}\"\n")
	assert.Contains(t, stderr, "set the variable MQTT_PASSWORD to the secret of password\n")
	assert.Contains(t, stderr, "the MQTT settings of the server are not in it")
	assert.Equal(t, "connector_name=c1&tenant=default", server.asked()[0].query)

	server.answers["detail"] = replay(t, "detail: unknown name")
	stdout, _, err = runMQTT("", "--server", server.URL, "connector", "export", "--connector-name", "nosuch")
	require.EqualError(t, err, `exporting connector "nosuch": Connector nosuch does not exist.`)
	assert.Empty(t, stdout)
}

func TestExportKeepsASecretOfAFileOutOfThePipeline(t *testing.T) {
	given := strings.Replace(documentedConnector, `\"key\"`, `\"username\": \"u\", \"password\": \"s3cret\", \"key\"`, 1)
	stdout, stderr, err := runMQTT(given, "connector", "export", "-f", "-")
	require.NoError(t, err)
	assert.NotContains(t, stdout+stderr, "s3cret")
	assert.Equal(t, "standard input: set the variable MQTT_PASSWORD to the secret of password\n", stderr)
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
		{"no file", "", nil, "exporting a connector: name its file by --file connector.json"},
		{"an unknown flag", "", []string{"--nope"}, "reading the flags of export: flag provided but not defined: -nope"},
		{"an argument too many", "", []string{"-f", broken, "x"}, `reading "x": export takes flags only`},
		{"a file that is not there", "", []string{"-f", missing}, "exporting " + missing + ": no such file or directory"},
		{"a folder", "", []string{"-f", dir}, "is a directory"},
		{"a file that is cut off", "", []string{"-f", broken}, "exporting " + broken + ": not one JSON object"},
		{"nothing on standard input", "", []string{"-f", "-"}, "exporting standard input: empty"},
		{"far too much", strings.Repeat(" ", maxConnectorFile+1), []string{"-f", "-"}, "over 1 MiB long"},
		{"servers without a port", with("localhost:9092", "localhost"), []string{"-f", "-"}, "bootstrap_servers"},
		{"an illegal filter", with("sensor/data", "a/#/b"), []string{"-f", "-"}, "'#' must be the last level"},
		{"an illegal Kafka topic", with("mqtt_messages", "a b"), []string{"-f", "-"}, "a Kafka topic name may have"},
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

func TestExportTakesTheExample(t *testing.T) {
	described, err := os.ReadFile("../../../config/connector.json")
	require.NoError(t, err)
	stdout, _, err := runMQTT(string(described), "connector", "export", "-f", "-")
	require.NoError(t, err)
	assert.Equal(t, documentedPipeline, stdout)
}
