//go:build integration

// Package integration runs the built binary against a real mosquitto and a real
// Apache Kafka. make integration starts both and sets MQTT_URL and KAFKA_BROKERS.
package integration

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/tests/program"
)

// servers are a broker and a Kafka that a test uses.
type servers struct {
	mqtt   string // URL
	direct string // URL of the broker, where mqtt leads over a way that may be interrupted
	kafka  string // host:port
}

var (
	mqttURL = os.Getenv("MQTT_URL")
	brokers = os.Getenv("KAFKA_BROKERS")
	shared  = servers{mqttURL, mqttURL, brokers}
)

// times is how often a test repeats its fault. make soak repeats it more often.
func times(short, full int) int {
	if os.Getenv("SOAK") == "1" {
		return full
	}
	return short
}

func TestMain(m *testing.M) {
	if mqttURL == "" || brokers == "" {
		fmt.Fprintln(os.Stderr, "MQTT_URL and KAFKA_BROKERS are not set; run make integration, which starts the servers")
		os.Exit(1)
	}
	code := program.Main(m)
	stopOwnServers()
	os.Exit(code)
}

// startPipeline runs a pipeline until the test ends, or stop is called.
func startPipeline(t *testing.T, yaml string) *program.Process {
	t.Helper()
	file := program.WriteFile(t, yaml)
	lint := program.Call(t, "", nil, program.Path(t), "lint", file)
	require.Zero(t, lint.Code, "linting the pipeline: %s", lint.Stderr)
	return program.StartPipeline(t, "-c", file)
}

// mqttClient connects to a broker until the test ends.
func mqttClient(t *testing.T, url, id string) paho.Client {
	t.Helper()
	client := paho.NewClient(publisherOptions(url, id))
	token := client.Connect()
	require.True(t, token.WaitTimeout(time.Minute), "connecting to %s", url)
	require.NoError(t, token.Error())
	t.Cleanup(func() { client.Disconnect(100) })
	return client
}

func publisherOptions(url, id string) *paho.ClientOptions {
	return paho.NewClientOptions().AddBroker(url).SetClientID(id).SetOrderMatters(true).SetAutoReconnect(false)
}

// createTopic makes a Kafka topic, which is removed when the test ends.
func (s servers) createTopic(t *testing.T, name string, partitions int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka))
	require.NoError(t, err)
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(t.Context(), partitions, 1, nil, name)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = admin.DeleteTopics(ctx, name) // the server's data is thrown away anyhow
		admin.Close()
	})
}

// recordCount returns how many records a topic holds.
func (s servers) recordCount(t *testing.T, topic string) int64 {
	t.Helper()
	n, err := s.tryRecordCount(t.Context(), topic)
	require.NoError(t, err)
	return n
}

// tryRecordCount is recordCount of a Kafka that may not know its leaders yet.
func (s servers) tryRecordCount(ctx context.Context, topic string) (n int64, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	offsets, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	offsets.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n, offsets.Error()
}
