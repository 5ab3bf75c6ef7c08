//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	records := 0
	shared.readWithKcat(t, "hundred_thousand", func(key string, value []byte) {
		records++
		e := strictEnvelope(t, value)
		topic := e.Topic
		require.Equal(t, topic, key, "the key is the MQTT topic")
		seq := strconv.Itoa(next[topic])
		next[topic]++

		payload := base64.StdEncoding.EncodeToString([]byte(seq))
		require.Equal(t, payload, e.Payload, "of %s", topic)
		require.Equal(t, payload, e.Data)
		require.Equal(t, crc32.ChecksumIEEE([]byte(seq)), e.CRC)
		require.Equal(t, 1, e.QoS)
		require.False(t, e.Retain)
		require.Empty(t, e.ClientID)
		require.Empty(t, e.Username)
		require.Empty(t, e.Header)
		require.NotNil(t, e.Header)
		require.Equal(t, topic, e.Key)
		require.Equal(t, strings.Split(topic, "/"), e.Tags)
		require.GreaterOrEqual(t, e.Timestamp, began.Unix())
		require.True(t, e.MessageID >= 1 && e.MessageID <= 65535, "message_id %d", e.MessageID)
	})
	assert.Equal(t, topics*perTopic, records)
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

// record is the envelope as a consumer in another language would declare it.
type record struct {
	Topic     string                        `json:"topic"`
	QoS       int                           `json:"qos"`
	Retain    bool                          `json:"retain"`
	Payload   string                        `json:"payload"`
	ClientID  string                        `json:"client_id"`
	Username  string                        `json:"username"`
	Timestamp int64                         `json:"timestamp"`
	MessageID int                           `json:"message_id"`
	Header    []struct{ Key, Value string } `json:"header"`
	Key       string                        `json:"key"`
	Data      string                        `json:"data"`
	Tags      []string                      `json:"tags"`
	CRC       uint32                        `json:"crc_num"`
}

var envelopeNames = []string{
	"topic", "qos", "retain", "payload", "client_id", "username", "timestamp",
	"message_id", "header", "key", "data", "tags", "crc_num",
}

// suiteBegan is before any message was published.
var suiteBegan = time.Now()

// strictEnvelope parses a record and refuses unknown, missing and repeated names
// and names out of order, and a time of receipt that is not within this run.
func strictEnvelope(t *testing.T, value []byte) record {
	t.Helper()
	var r record
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&r), "%s", value)
	require.False(t, dec.More())

	var names []string
	tokens := json.NewDecoder(bytes.NewReader(value))
	_, err := tokens.Token()
	require.NoError(t, err)
	for tokens.More() {
		name, err := tokens.Token()
		require.NoError(t, err)
		names = append(names, name.(string))
		var skipped json.RawMessage
		require.NoError(t, tokens.Decode(&skipped))
	}
	require.Equal(t, envelopeNames, names)
	require.GreaterOrEqual(t, r.Timestamp, suiteBegan.Unix(), "time of receipt")
	require.LessOrEqual(t, r.Timestamp, time.Now().Unix(), "time of receipt")
	return r
}
