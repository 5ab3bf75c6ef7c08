package control

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

const documentedConfig = `{"bootstrap_servers": "kafka1:9092,kafka2:9092", "topic": "iot_sensors", "key": "sensor_key"}`

// documentedCreate is the line of RobustMQ's document.
func documentedCreate() []string {
	return []string{
		"connector", "create", "--connector-name", "iot_sensor_kafka", "--connector-type", "Kafka",
		"--config", documentedConfig, "--topic-id", "iot/sensors/+/data",
	}
}

func TestCreateSendsWhatRobustMQTakes(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"create": replay(t, "create k1")})
	stdout, stderr, err := runMQTT("", append(documentedCreate(), "--server", server.URL)...)
	require.NoError(t, err)
	assert.Equal(t, "Created successfully!\n", stdout)
	assert.Empty(t, stderr)
	require.Len(t, server.asked(), 2, "what the server is, and the request")
	assert.Equal(t, http.MethodGet, server.asked()[0].method)
	assert.Equal(t, http.MethodPost, server.asked()[1].method)
	assert.Equal(t, map[string]any{
		"connector_name": "iot_sensor_kafka", "connector_type": "kafka", "config": documentedConfig,
		"topic_name": "iot/sensors/+/data", "tenant": "default",
		"failure_strategy": map[string]any{"strategy": "block"},
	}, server.body(t))
}

func TestTheServerMayStandBehindAnyCommandAndInTheEnvironment(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"list": gives(`{"code":0,"data":{"data":[],"total_count":0},"error":null}`)})
	address := strings.TrimPrefix(server.URL, "http://")
	for _, args := range [][]string{
		{"--server", address, "connector", "list"},
		{"-s", address, "connector", "list"},
		{"connector", "--server", address, "list"},
		{"connector", "list", "-s", address},
		{"--server", "127.0.0.1:1", "connector", "list", "--server", address}, // the nearest counts
		{"connector", "list", "--server", server.URL + "/"},
	} {
		_, _, err := runMQTT("", args...)
		require.NoError(t, err, "%v", args)
	}
	t.Setenv(serverVariable, address)
	_, _, err := runMQTT("", "connector", "list")
	require.NoError(t, err)
	t.Setenv(serverVariable, "127.0.0.1:1")
	_, _, err = runMQTT("", "--server", address, "connector", "list")
	require.NoError(t, err)
}

func TestCreateTakesACompleteConnector(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"create": gives(successAnswer)})
	_, _, err := runMQTT(documentedConnector, "connector", "create", "-f", "-", "--server", server.URL)
	require.NoError(t, err)
	body := server.body(t)
	assert.Equal(t, "kafka_connector_01", body["connector_name"])
	assert.Equal(t, "kafka", body["connector_type"])
	assert.Equal(t, "sensor/data", body["topic_name"])
	assert.NotContains(t, body, "topic_id")
	assert.Equal(t, "default", body["tenant"])
	assert.Equal(t, map[string]any{"strategy": "block"}, body["failure_strategy"])

	// What the file says stays, and a flag overrides it.
	described := `{"connector_name":"a","connector_type":"kafka","topic_name":"t","config":{"topic":"x"},"failure_strategy":{"strategy":"discard"}}`
	path := writeFile(t, t.TempDir(), "connector.json", described)
	_, _, err = runMQTT("", "connector", "create", "--file", path, "--connector-name", "b", "--server", server.URL)
	require.NoError(t, err)
	body = server.body(t)
	assert.Equal(t, "b", body["connector_name"])
	assert.Equal(t, `{"topic":"x"}`, body["config"], "RobustMQ takes a string only")
	assert.Equal(t, map[string]any{"strategy": "discard"}, body["failure_strategy"])
}

func TestCreateAndUpdateSayOurOptions(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"create": gives(successAnswer), "update": gives(successAnswer)})
	_, _, err := runMQTT("", append(documentedCreate(), "--paused", "--server", server.URL)...)
	require.NoError(t, err)
	assert.Equal(t, true, server.body(t)["paused"])
	_, _, err = runMQTT(documentedConnector, "connector", "update", "-f", "-", "--discard-waiting", "--server", server.URL)
	require.NoError(t, err)
	assert.Equal(t, true, server.body(t)["discard_waiting"])
	_, _, err = runMQTT(documentedConnector, "connector", "update", "-f", "-", "--server", server.URL)
	require.NoError(t, err)
	assert.NotContains(t, server.body(t), "discard_waiting")
}

func TestCreateSaysAFailureStrategy(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"create": gives(successAnswer)})
	tests := []struct {
		args []string
		want map[string]any
	}{
		{[]string{"--failure-strategy", "discard"}, map[string]any{"strategy": "discard"}},
		{
			[]string{"--failure-strategy", "discard_after_retry", "--retry-total-times", "5", "--wait-time-ms", "100"},
			map[string]any{"strategy": "discard_after_retry", "retry_total_times": 5.0, "wait_time_ms": 100.0},
		},
		{
			[]string{"--failure-strategy", "dead_message_queue", "--dead-letter-topic", "dlq"},
			map[string]any{"strategy": "dead_message_queue", "topic_name": "dlq"},
		},
		{
			[]string{"--failure-strategy", `{"strategy":"dead_message_queue","topic_name":"dlq","retry_total_times":2}`, "--wait-time-ms", "0"},
			map[string]any{"strategy": "dead_message_queue", "topic_name": "dlq", "retry_total_times": 2.0, "wait_time_ms": 0.0},
		},
	}
	for _, test := range tests {
		args := append(append(documentedCreate(), "--server", server.URL), test.args...)
		_, _, err := runMQTT("", args...)
		require.NoError(t, err, "%v", test.args)
		assert.Equal(t, test.want, server.body(t)["failure_strategy"])
	}
}

func TestCreateTellsTheServersReasonAndFails(t *testing.T) {
	noEnvironment(t)
	for recorded, want := range map[string]string{
		"create k1 again":            `Connector [k1] already exist`,
		"create: unknown type":       "Connector type must be kafka, pulsar",
		"create: config is not JSON": "expected ident at line 1 column 2",
		"create: name missing":       "missing field `connector_name`",
		"detail: tenant missing":     "Failed to deserialize query string: missing field `tenant`", // in plain text
	} {
		server := newScripted(t, map[string]http.HandlerFunc{"create": replay(t, recorded)})
		stdout, stderr, err := runMQTT("", append(documentedCreate(), "--server", server.URL)...)
		require.ErrorContains(t, err, want)
		assert.True(t, strings.HasPrefix(err.Error(), `creating connector "iot_sensor_kafka": `), err)
		assert.NotContains(t, err.Error(), "\n")
		assert.Empty(t, stdout, recorded)
		assert.Empty(t, stderr, recorded)
	}
}

func TestCreateTellsTheServersNotes(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{
		"create": gives(`{"code":0,"data":"success","error":null,"notes":["left out: acks \"1\"","second\nline"]}`),
	})
	stdout, stderr, err := runMQTT("", append(documentedCreate(), "--server", server.URL)...)
	require.NoError(t, err)
	assert.Equal(t, "Created successfully!\n", stdout)
	assert.Equal(t, "note: left out: acks \"1\"\nnote: second line\n", stderr)

	stdout, stderr, err = runMQTT("", append(documentedCreate(), "--server", server.URL, "--output", "json")...)
	require.NoError(t, err)
	assert.JSONEq(t, `{"connector_name":"iot_sensor_kafka","result":"success","notes":["left out: acks \"1\"","second\nline"]}`, stdout)
	assert.Empty(t, stderr)
}

func TestCreateRefusesBeforeItAsks(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, nil)
	path := writeFile(t, t.TempDir(), "connector.json", documentedConnector)
	for want, args := range map[string][]string{
		"--connector-name is missing":                       {},
		"--config is missing: the Kafka settings":           {"-n", "a", "-p", "t"},
		"--topic-id is missing: the MQTT topic filter":      {"-n", "a", "-c", "{}"},
		"--config and --file exclude each other":            {"-f", path, "-c", "{}"},
		"/nowhere.json: no such file or directory":          {"-f", "/nowhere.json"},
		"reading standard input: empty":                     {"-f", "-"},
		"--dead-letter-topic needs --failure-strategy":      {"-f", path, "--dead-letter-topic", "x"},
		`reading --retry-total-times "x": want a whole num`: {"-f", path, "--failure-strategy", "discard", "--retry-total-times", "x"},
		"reading --failure-strategy: ":                      {"-f", path, "--failure-strategy", "{"},
		`reading --output "xml": want table or json`:        {"-f", path, "--output", "xml"},
		`reading "x": create takes flags only, see `:        {"-f", path, "x", "--failure-strategy", "discard"},
		"flag provided but not defined: -nope; see ":        {"--nope"},
		"by http or https, not by mqtt":                     {"-f", path, "--server", "mqtt://a:1"},
		"the port is missing: localhost:58080 for example":  {"-f", path, "--server", "localhost"},
		"reading --api-token-file /nowhere: no such file":   {"-f", path, "--api-token-file", "/nowhere"},
		"/connector.json: it holds no certificate in PEM":   {"-f", path, "--ca-file", path},
	} {
		stdout, _, err := runMQTT("", append([]string{"--server", server.URL, "connector", "create"}, args...)...)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
		assert.Empty(t, stdout)
	}
	assert.Empty(t, server.asked())
}

func TestUpdateKeepsWhatNoFlagSays(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{
		"update": gives(successAnswer),
		"detail": gives(`{"code":0,"error":null,"data":{"last_send_time":0,"connector_name":"a","connector_type":"kafka",` +
			`"config":"{\"topic\":\"x\",\"password\":\"***\"}","topic_name":"old/+","failure_strategy":{"strategy":"discard"},"status":"Running"}}`),
	})
	update := func(args ...string) (string, error) {
		stdout, _, err := runMQTT("", append([]string{"--server", server.URL, "connector", "update"}, args...)...)
		return stdout, err
	}
	stdout, err := update("--connector-name", "a", "--topic-id", "new/#")
	require.NoError(t, err)
	assert.Equal(t, "Updated successfully!\n", stdout)
	assert.Equal(t, map[string]any{
		"connector_name": "a", "connector_type": "kafka", "config": `{"topic":"x","password":"***"}`, "topic_name": "new/#",
		"tenant": "default", "failure_strategy": map[string]any{"strategy": "discard"},
	}, server.body(t))

	_, err = update("-n", "a", "--failure-strategy", "block")
	require.NoError(t, err)
	assert.Equal(t, "old/+", server.body(t)["topic_name"])
	assert.Equal(t, map[string]any{"strategy": "block"}, server.body(t)["failure_strategy"])

	// A file is the whole connector.
	path := writeFile(t, t.TempDir(), "connector.json", documentedConnector)
	_, err = update("-f", path)
	require.NoError(t, err)
	assert.Equal(t, "sensor/data", server.body(t)["topic_name"])
	assert.Equal(t, map[string]any{"strategy": "block"}, server.body(t)["failure_strategy"])

	_, err = update("-n", "a")
	require.ErrorContains(t, err, "nothing to change")
	_, err = update("--config", "{}")
	require.ErrorContains(t, err, "name it with --connector-name")
}

func TestUpdateOfARobustMQNeedsTheWholeConnector(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{
		"detail": gives(`{"code":0,"data":{"last_send_time":1795402446,"send_success_total":50002,"send_fail_total":0,"last_msg":null},"error":null}`),
	})
	_, _, err := runMQTT("", "--server", server.URL, "connector", "update", "-n", "a", "--config", "{}")
	require.ErrorContains(t, err, "does not show a connector's settings")
}

func TestCheckTellsWhatIsWrongAtEachEnd(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{
		"check": gives(`{"code":0,"data":[{"end":"mqtt","error":null},{"end":"kafka","error":"no such host"}],"error":null}`),
	})
	args := append(documentedCreate(), "--server", server.URL)
	args[1] = "check"
	stdout, stderr, err := runMQTT("", args...)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Equal(t, "mqtt: OK\n", stdout)
	assert.Equal(t, "kafka: no such host\n", stderr)

	stdout, stderr, err = runMQTT("", append(args, "--output", "json")...)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.JSONEq(t, `[{"end":"mqtt","error":null},{"end":"kafka","error":"no such host"}]`, stdout)
	assert.Empty(t, stderr)

	server.answers["check"] = gives(`{"code":0,"data":[{"end":"mqtt","error":null},{"end":"kafka","error":null}],"error":null}`)
	stdout, _, err = runMQTT("", args...)
	require.NoError(t, err)
	assert.Equal(t, "mqtt: OK\nkafka: OK\n", stdout)

	server.answers["check"] = gives(`{"code":0,"data":[],"error":null}`)
	_, _, err = runMQTT("", args...)
	require.ErrorContains(t, err, "did not report the result")
}
