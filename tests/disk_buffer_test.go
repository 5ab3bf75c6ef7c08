package tests

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/components"
	"github.com/robustmq/robustmq-connect/tests/records"
)

// Kafka is away, the broker has its acknowledgements, the process stops, and the broker
// is gone when it starts again: the disk has everything, in order, with the time of
// receipt.
func TestADiskBufferOutlivesAnOutageAndARestart(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	kafka, err := embedded.StartKafka("127.0.0.1:0", "mqtt_messages")
	require.NoError(t, err)
	address := kafka.Addr()
	kafka.Close()
	dir := t.TempDir()
	document := fmt.Sprintf(`
http: { enabled: false }
input:
  robustmq_kafka: { topic_id: sensors/#, client_id: bridge, disk_buffer: { path: %s } }
output:
  robustmq_kafka: { bootstrap_servers: k, topic: mqtt_messages }
`, strconv.Quote(dir))
	r := &exampleRig{t: t, mqttURL: broker.URL(), kafkaAddr: address}

	// The first process.
	stop := r.run(document)
	ctx, done := context.WithTimeout(t.Context(), exampleTimeout)
	defer done()
	require.NoError(t, broker.WaitSubscribed(ctx, "sensors/#"))
	const messages = 200
	var publish, want []string
	for i := range messages {
		topic, payload := fmt.Sprintf("sensors/%d", i%3), fmt.Sprintf("%0100d", i)
		publish, want = append(publish, topic, payload), append(want, topic+" "+payload)
	}
	r.publish(publish...)
	require.Eventually(t, func() bool { return sizeOnDisk(t, dir) > messages*100 && broker.InFlight() == 0 }, exampleTimeout, 10*time.Millisecond)
	received := time.Now().Unix()
	stop()
	broker.Close()

	require.Eventually(t, func() bool { return time.Now().Unix() >= received+2 }, exampleTimeout, 10*time.Millisecond)
	kafka, err = embedded.StartKafka("127.0.0.1:0", "mqtt_messages")
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	r.kafkaAddr = kafka.Addr()
	stop = r.run(document)
	defer stop()
	byTopic := map[string][]string{}
	for _, record := range r.records("mqtt_messages", messages) {
		e, err := records.Parse(record.Value)
		require.NoError(t, err)
		assert.LessOrEqual(t, e.Timestamp, received, "the time of receipt")
		byTopic[e.Topic] = append(byTopic[e.Topic], e.Topic+" "+string(e.Payload))
	}
	wanted := map[string][]string{}
	for i, text := range want {
		topic := fmt.Sprintf("sensors/%d", i%3)
		wanted[topic] = append(wanted[topic], text)
	}
	assert.Equal(t, wanted, byTopic)
}

// run runs a pipeline until stop is called, which lets it drain for a moment.
func (r *exampleRig) run(document string) (stop func()) {
	r.t.Helper()
	env, err := components.Environment()
	require.NoError(r.t, err)
	builder := env.NewStreamBuilder()
	builder.SetSchema(exampleSchema(env))
	require.NoError(r.t, builder.SetYAML(r.redirect(document)))
	builder.SetLogger(slog.New(slog.DiscardHandler))
	stream, err := builder.Build()
	require.NoError(r.t, err)
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(context.Background()) }()
	return func() {
		r.t.Helper()
		_ = stream.StopWithin(3 * time.Second) // what Kafka does not take is not drained
		select {
		case err := <-ended:
			require.NoError(r.t, err)
		case <-time.After(exampleTimeout):
			require.Fail(r.t, "the pipeline does not end")
		}
	}
}

func sizeOnDisk(t *testing.T, dir string) (size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	require.NoError(t, err)
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	return size
}
