package tests

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/tests/components"
	"github.com/robustmq/robustmq-connect/tests/records"
)

// exampleTests run one example each and check what arrives. Every file under config/
// has an entry, except for the unit tests of the engine, which
// TestExamplesPassTheirOwnTests runs.
var exampleTests = map[string]func(t *testing.T, document string){
	"plain.yaml":                 examplePlain,
	"connector.json":             exampleConnector,
	"connector_disk_buffer.json": exampleConnectorDiskBuffer,
	"tls_sasl.yaml":              exampleTLSAndSASL,
	"key_from_topic.yaml":        exampleKeyFromTopic,
	"topic_per_topic.yaml":       exampleTopicPerTopic,
	"raw_with_headers.yaml":      exampleRawWithHeaders,
	"robustmq_record.yaml":       exampleRobustMQRecord,
	"several_filters.yaml":       exampleSeveralFilters,
	"filter_reshape.yaml":        exampleFilterReshape,
	"kafka_to_mqtt.yaml":         exampleKafkaToMQTT,
	"kafka_commands.yaml":        exampleKafkaCommands,
	"tracing.yaml":               exampleTracing,
	"disk_buffer.yaml":           exampleDiskBuffer,
}

// tenLines are the examples that show how little a pipeline needs.
var tenLines = []string{"plain.yaml", "disk_buffer.yaml", "kafka_to_mqtt.yaml", "kafka_commands.yaml"}

func TestShortExamplesHaveAtMostTenLines(t *testing.T) {
	for _, name := range tenLines {
		require.Contains(t, exampleTests, name)
		lines := 0
		for line := range strings.Lines(readExample(t, name)) {
			if !strings.HasPrefix(line, "#") {
				lines++
			}
		}
		assert.LessOrEqual(t, lines, 10, name)
	}
}

const ownTests = "_benthos_test.yaml"

func TestExamples(t *testing.T) {
	files, err := os.ReadDir(examplesFolder)
	require.NoError(t, err)
	linted, run := 0, 0
	for _, file := range files {
		name := file.Name()
		if name == "README.md" { // linted with the other documents
			continue
		}
		document := readExample(t, name)
		if strings.HasSuffix(name, ".json") {
			conn, err := connector.Parse([]byte(document))
			require.NoError(t, err)
			pipeline, notes := connector.Pipeline(conn)
			require.Empty(t, notes)
			document = string(pipeline)
		}
		lintExample(t, document)
		linted++
		if strings.HasSuffix(name, ownTests) {
			continue
		}
		test, ok := exampleTests[name]
		require.True(t, ok, "config/%s has no entry in exampleTests: add one that runs it", name)
		if strings.HasSuffix(name, ".yaml") {
			assertCommentHeader(t, name, document)
		}
		if t.Run(name, func(t *testing.T) { test(t, document) }) {
			run++
		}
	}
	t.Logf("counted %d examples linted, %d run with their result asserted", linted, run)
	require.GreaterOrEqual(t, run, 14)
	require.Equal(t, len(exampleTests), run, "an entry of exampleTests has no file, or failed")
}

func assertCommentHeader(t *testing.T, name, document string) {
	t.Helper()
	require.True(t, strings.HasPrefix(document, "# "), name)
	for _, part := range []string{"\n# When:   ", "\n# Run:    ", "\n# Change: ", "robustmq-connect run config/" + name} {
		require.Contains(t, document, part, name)
	}
}

// opened checks the common parts of all envelopes of QoS 1 messages and returns "topic
// payload".
func opened(t *testing.T, record *kgo.Record) string {
	t.Helper()
	e, err := records.Parse(record.Value)
	require.NoError(t, err)
	assert.Equal(t, 1, e.QoS)
	assert.False(t, e.Retain)
	assert.Equal(t, string(record.Key), e.Key)
	assert.WithinDuration(t, time.Now(), time.Unix(e.Timestamp, 0), time.Minute)
	// The embedded broker adds an expiry to every message of MQTT 5; the header has
	// nothing else.
	for _, h := range e.Header {
		assert.Equal(t, "message-expiry-interval", h.Key)
	}
	return e.Topic + " " + string(e.Payload)
}

func allOpened(t *testing.T, records []*kgo.Record) []string {
	t.Helper()
	var all []string
	for _, r := range records {
		all = append(all, opened(t, r))
	}
	return all
}

func examplePlain(t *testing.T, document string) {
	r := newExampleRig(t, "mqtt_messages")
	r.start(document)
	r.subscribed("sensors/+/data")
	r.publish("sensors/1/data", "one", "sensors/1/other", "not matched", "sensors/2/data", "\x00\xff", "sensors/1/data", "")
	records := r.records("mqtt_messages", 3)
	// One key is one partition, so the order is that of publishing.
	assert.Equal(t, []string{"sensors/1/data one", "sensors/2/data \x00\xff", "sensors/1/data "}, allOpened(t, records))
	for _, record := range records {
		assert.Equal(t, "sensor_data", string(record.Key))
	}
}

func exampleDiskBuffer(t *testing.T, document string) {
	t.Setenv("BUFFER_DIR", t.TempDir())
	r := newExampleRig(t, "mqtt_messages")
	r.start(document)
	r.subscribed("sensors/+/data")
	r.publish("sensors/1/data", "one", "sensors/1/data", "\x00\xff", "sensors/1/data", "")
	assert.Equal(t, []string{"sensors/1/data one", "sensors/1/data \x00\xff", "sensors/1/data "}, allOpened(t, r.records("mqtt_messages", 3)))
}

func exampleConnector(t *testing.T, document string) {
	r := newExampleRig(t, "mqtt_messages")
	r.start(document)
	r.subscribed("sensor/data")
	r.publish("sensor/data", "25.5")
	records := r.records("mqtt_messages", 1)
	assert.Equal(t, []string{"sensor/data 25.5"}, allOpened(t, records))
	assert.Equal(t, "sensor_data", string(records[0].Key))
}

func exampleConnectorDiskBuffer(t *testing.T, document string) {
	dir := t.TempDir()
	t.Setenv("BUFFER_DIR", dir)
	r := newExampleRig(t, "mqtt_messages")
	r.start(document)
	r.subscribed("sensors/#")
	r.publish("sensors/1/data", "one", "sensors/1/data", "two")
	assert.Equal(t, []string{"sensors/1/data one", "sensors/1/data two"}, allOpened(t, r.records("mqtt_messages", 2)))
	assert.DirExists(t, filepath.Join(dir, connector.BufferName(connector.DefaultTenant, "sensors_on_disk")))
}

func exampleKeyFromTopic(t *testing.T, document string) {
	r := newExampleRig(t, "mqtt_messages")
	r.start(document)
	r.subscribed("sensors/+/#")
	r.publish("sensors/kitchen/data", "1", "sensors/hall/data", "2", "sensors/kitchen/state", "3", "sensors/hall/state", "4")
	got := map[string][]string{}
	for _, record := range r.records("mqtt_messages", 4) {
		got[string(record.Key)] = append(got[string(record.Key)], opened(t, record))
	}
	assert.Equal(t, map[string][]string{
		"kitchen": {"sensors/kitchen/data 1", "sensors/kitchen/state 3"},
		"hall":    {"sensors/hall/data 2", "sensors/hall/state 4"},
	}, got)
}

func exampleTopicPerTopic(t *testing.T, document string) {
	r := newExampleRig(t)
	r.start(document)
	r.subscribed("factory/#")
	// The JSON must come out unchanged, including white space.
	r.publish("factory/hall 1/temp", `{"c": 1.0}`, "factory/größe", "2", "factory/hall 1/temp", "3")
	assert.Equal(t, []string{`factory/hall 1/temp {"c": 1.0}`, "factory/hall 1/temp 3"},
		allOpened(t, r.records("mqtt.factory.hall_1.temp", 2)))
	assert.Equal(t, []string{"factory/größe 2"}, allOpened(t, r.records("mqtt.factory.gr__e", 1)))
}

func exampleRawWithHeaders(t *testing.T, document string) {
	r := newExampleRig(t, "mqtt_payloads")
	r.start(document)
	r.subscribed("sensors/#")
	payload := "\x00\x01{raw}\xff"
	r.publish("sensors/1/data", payload)
	record := r.records("mqtt_payloads", 1)[0]
	assert.Equal(t, payload, string(record.Value))
	assert.Equal(t, "sensors/1/data", string(record.Key))
	assert.Equal(t, "sensors/1/data", header(record, "mqtt_topic"))
	assert.Equal(t, "1", header(record, "mqtt_qos"))
	assert.Equal(t, "false", header(record, "mqtt_retained"))
	assert.Equal(t, "false", header(record, "mqtt_duplicate"))
	assert.NotEmpty(t, header(record, "mqtt_message_id"))
	assert.NotEmpty(t, header(record, "mqtt_timestamp_ms"))
	assert.Equal(t, "86400", header(record, "mqtt_message_expiry_interval"), "the embedded broker's")
	assert.Len(t, record.Headers, 7)
}

func exampleRobustMQRecord(t *testing.T, document string) {
	r := newExampleRig(t, "mqtt_records")
	r.start(document)
	r.subscribed("sensors/#")
	r.publish("sensors/1/data", "hi")
	record := r.records("mqtt_records", 1)[0]
	assert.Equal(t, "sensors/1/data", string(record.Key))
	assert.Empty(t, record.Headers)
	at := time.Now().Unix()
	want := func(at int64) string { // the embedded broker gives messages a day
		return fmt.Sprintf(`{"metadata":{"offset":0,"shard":"","segment":0,"header":null,"key":null,"tags":null,"create_t":%d,"expire_at":%d,"crc_num":3633523372},`+
			`"protocol_data":{"mqtt":{"client_id":"","retain":false,"format_indicator":null,"response_topic":null,"correlation_data":null,"content_type":null,"user_properties":[]},`+
			`"nats":null,"mq9":null,"amqp":null},"data":[104,105]}`, at, at+86400)
	}
	var times []string
	for second := at - 60; second <= at; second++ {
		times = append(times, want(second))
	}
	assert.Contains(t, times, string(record.Value))
}

func exampleSeveralFilters(t *testing.T, document string) {
	r := newExampleRig(t, "mqtt_messages")
	r.start(document)
	for _, filter := range []string{"sensors/+/data", "machines/+/events/#", "$share/bridges/alarms/#"} {
		r.subscribed(filter)
	}
	r.publish("sensors/1/data", "a", "machines/7/events/stop/hard", "b", "alarms/fire", "c", "machines/7/state", "not matched")
	assert.ElementsMatch(t, []string{"sensors/1/data a", "machines/7/events/stop/hard b", "alarms/fire c"},
		allOpened(t, r.records("mqtt_messages", 3)))
}

func exampleFilterReshape(t *testing.T, document string) {
	r := newExampleRig(t, "mqtt_hot", "mqtt_unreadable")
	logs := r.start(document)
	r.subscribed("sensors/+/data")
	r.publish(
		"sensors/oven-1/data", `{"temp_f": 104, "site": "north"}`,
		"sensors/fridge/data", `{"temp_f": 40}`,
		"sensors/oven-2/data", `no JSON`,
		"sensors/oven-2/data", `{ "temp_f": "hot" }`,
		"sensors/oven-1/data", `{"temp_f": 212}`,
	)
	assert.Equal(t, []string{
		`sensors/oven-1/data {"celsius":40,"device":"oven-1"}`, `sensors/oven-1/data {"celsius":100,"device":"oven-1"}`,
	}, allOpened(t, r.records("mqtt_hot", 2)))
	assert.Equal(t, []string{`sensors/oven-2/data no JSON`, `sensors/oven-2/data { "temp_f": "hot" }`},
		allOpened(t, r.records("mqtt_unreadable", 2)))
	assert.Equal(t, 2, strings.Count(logs.String(), "Writing a message of sensors/oven-2/data to mqtt_unreadable"), logs)
}

func exampleKafkaToMQTT(t *testing.T, document string) {
	r := newExampleRig(t, "mqtt_messages", "mqtt_undecodable")
	received := make(chan paho.Message, 10)
	client := r.mqtt()
	r.await(client.Subscribe("#", 1, func(_ paho.Client, m paho.Message) { received <- m }))

	record := func(topic string, retain bool, payload string) *kgo.Record {
		text := base64.StdEncoding.EncodeToString([]byte(payload))
		value := fmt.Sprintf(`{"topic":%q,"qos":1,"retain":%t,"payload":%q,"client_id":"","username":"","timestamp":1640995200,"message_id":7,`+
			`"header":[],"key":"k","data":%q,"tags":[],"crc_num":%d}`, topic, retain, text, text, crc32.ChecksumIEEE([]byte(payload)))
		return &kgo.Record{Topic: "mqtt_messages", Key: []byte("k"), Value: []byte(value)}
	}
	require.NoError(t, r.kafka().ProduceSync(t.Context(),
		record("sensors/1/data", false, "\x00\xff{}"), &kgo.Record{Topic: "mqtt_messages", Key: []byte("k"), Value: []byte("no envelope")},
		record("sensors/1/state", true, "on"), record("sensors/1/data", false, ""),
	).FirstErr())
	r.start(document)

	next := func(want string) paho.Message {
		select {
		case m := <-received:
			assert.Equal(t, want, m.Topic()+" "+string(m.Payload()))
			return m
		case <-time.After(exampleTimeout):
			require.Fail(t, "a message did not come", want)
			return nil
		}
	}
	next("sensors/1/data \x00\xff{}")
	next("sensors/1/state on")
	next("sensors/1/data ")
	rejected := r.records("mqtt_undecodable", 1)[0]
	assert.Equal(t, "no envelope", string(rejected.Value))

	// Only a later subscription shows what the broker retained.
	r.await(client.Unsubscribe("#"))
	r.await(client.Subscribe("#", 1, func(_ paho.Client, m paho.Message) { received <- m }))
	retained := next("sensors/1/state on")
	assert.True(t, retained.Retained())
}

func exampleKafkaCommands(t *testing.T, document string) {
	r := newExampleRig(t, "commands")
	received := make(chan string, 10)
	r.await(r.mqtt().Subscribe("devices/#", 1, func(_ paho.Client, m paho.Message) { received <- m.Topic() + " " + string(m.Payload()) }))
	for _, command := range []string{"lamp on", "pump start", "lamp off"} {
		device, value, _ := strings.Cut(command, " ")
		require.NoError(t, r.kafka().ProduceSync(t.Context(), &kgo.Record{Topic: "commands", Key: []byte(device), Value: []byte(value)}).FirstErr())
	}
	r.start(document)
	got := map[string][]string{}
	for range 3 {
		select {
		case message := <-received:
			topic, payload, _ := strings.Cut(message, " ")
			got[topic] = append(got[topic], payload)
		case <-time.After(exampleTimeout):
			require.Fail(t, "a message did not come")
		}
	}
	assert.Equal(t, map[string][]string{"devices/lamp/commands": {"on", "off"}, "devices/pump/commands": {"start"}}, got)
}

// TestExamplesPassTheirOwnTests is `robustmq-connect test ./config/...`.
func TestExamplesPassTheirOwnTests(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examplesFolder, "*"+ownTests))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 2)
	cases := 0
	for _, file := range files {
		var tests struct{ Tests []yaml.Node }
		require.NoError(t, yaml.Unmarshal([]byte(readExample(t, filepath.Base(file))), &tests))
		cases += len(tests.Tests)
	}
	require.GreaterOrEqual(t, cases, 5)

	env, err := components.Environment()
	require.NoError(t, err)
	out, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = out
	code, err := service.RunCLIToCode(context.Background(), service.CLIOptSetEnvironment(env),
		service.CLIOptSetArgs("robustmq-connect", "test", examplesFolder+"/..."))
	os.Stdout = stdout
	require.NoError(t, out.Close())
	require.NoError(t, err)
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	require.Zero(t, code, "%s", text)
	assert.Equal(t, len(files), strings.Count(string(text), "' succeeded"), "%s", text)
	t.Logf("counted %d tests of %d example files", cases, len(files))
}
