//go:build integration

package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/records"
)

// TestEveryMessageArrivesOnceAndInOrder sends 100,000 QoS 1 messages over 100
// topics through the ten-line pipeline, and reads them back with kcat and a JSON
// parser that refuses what is not strict.
func TestEveryMessageArrivesOnceAndInOrder(t *testing.T) {
	const topics, perTopic = 100, 1000
	shared.createTopic(t, "hundred_thousand", 3)
	pipeline := startPipeline(t, fmt.Sprintf(`
input:
  robustmq_kafka:
    topic_id: plant/+/data
    urls: [ %s ]
output:
  robustmq_kafka:
    bootstrap_servers: %s
    topic: hundred_thousand
`, mqttURL, brokers))
	pipeline.WaitReady()

	began := time.Now()
	publisher := mqttClient(t, mqttURL, "publisher")
	for seq := range perTopic {
		for topic := range topics {
			token := publisher.Publish(fmt.Sprintf("plant/%d/data", topic), 1, false, strconv.Itoa(seq))
			if topic == topics-1 {
				require.True(t, token.WaitTimeout(30*time.Second))
				require.NoError(t, token.Error())
			}
		}
	}
	require.Eventually(t, func() bool { return shared.recordCount(t, "hundred_thousand") >= topics*perTopic },
		3*time.Minute, 200*time.Millisecond)
	took := time.Since(began)
	code, stopped := pipeline.Stop()
	assert.Zero(t, code)
	assert.Less(t, stopped, 20*time.Second)
	t.Logf("%d messages in %v, %.0f/s", topics*perTopic, took.Round(time.Millisecond), topics*perTopic/took.Seconds())

	next := map[string]int{}
	count := 0
	shared.readWithKcat(t, "hundred_thousand", func(key string, value []byte) {
		count++
		e := strictEnvelope(t, value)
		topic := e.Topic
		require.Equal(t, topic, key, "the key is the MQTT topic")
		seq := strconv.Itoa(next[topic])
		next[topic]++

		require.Equal(t, seq, string(e.Payload), "of %s", topic)
		require.Equal(t, 1, e.QoS)
		require.False(t, e.Retain)
		require.Empty(t, e.ClientID)
		require.Empty(t, e.Username)
		require.Empty(t, e.Header)
		require.Equal(t, topic, e.Key)
		require.GreaterOrEqual(t, e.Timestamp, began.Unix())
	})
	assert.Equal(t, topics*perTopic, count)
	assert.Len(t, next, topics)
	for topic, n := range next {
		assert.Equal(t, perTopic, n, topic)
	}
}

// readWithKcat hands over a topic's records, each partition from its start.
func (s servers) readWithKcat(t *testing.T, topic string, each func(key string, value []byte)) {
	t.Helper()
	cmd := exec.Command("kcat", "-C", "-q", "-e", "-b", s.kafka, "-t", topic, "-o", "beginning", "-f", `%K %S\n%k%s`)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = t.Output()
	require.NoError(t, cmd.Start())
	r := bufio.NewReader(out)
	for {
		var keySize, valueSize int
		_, err := fmt.Fscanf(r, "%d %d\n", &keySize, &valueSize)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		key, value := make([]byte, max(keySize, 0)), make([]byte, max(valueSize, 0))
		_, err = io.ReadFull(r, key)
		require.NoError(t, err)
		_, err = io.ReadFull(r, value)
		require.NoError(t, err)
		each(string(key), value)
	}
	require.NoError(t, cmd.Wait())
}

// suiteBegan is before any message was published.
var suiteBegan = time.Now()

// strictEnvelope parses a record and refuses a time of receipt that is not within
// this run.
func strictEnvelope(t *testing.T, value []byte) records.Envelope {
	t.Helper()
	e, err := records.Parse(value)
	require.NoError(t, err)
	require.GreaterOrEqual(t, e.Timestamp, suiteBegan.Unix(), "time of receipt")
	require.LessOrEqual(t, e.Timestamp, time.Now().Unix(), "time of receipt")
	return e
}
