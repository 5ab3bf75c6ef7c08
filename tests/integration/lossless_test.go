//go:build integration

package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// load publishes numbered messages over topics at a rate until it is stopped.
type load struct {
	prefix string
	topics int
	sent   []atomic.Int64 // acknowledged by the broker, by topic
	stop   chan struct{}
	ended  chan struct{}
}

func startLoad(t *testing.T, prefix string, topics, rate int) *load {
	t.Helper()
	l := &load{prefix: prefix, topics: topics, sent: make([]atomic.Int64, topics), stop: make(chan struct{}), ended: make(chan struct{})}
	publisher := mqttClient(t, mqttURL, prefix+"-load")
	go func() {
		defer close(l.ended)
		const perTick = 10
		tick := time.NewTicker(time.Second * perTick / time.Duration(rate))
		defer tick.Stop()
		for n := 0; ; n += perTick {
			select {
			case <-l.stop:
				return
			case <-tick.C:
			}
			for i := n; i < n+perTick; i++ {
				topic := i % topics
				token := publisher.Publish(fmt.Sprintf("%s/%d", prefix, topic), 1, false, strconv.FormatInt(l.sent[topic].Load(), 10))
				if !token.WaitTimeout(time.Minute) || token.Error() != nil {
					return
				}
				l.sent[topic].Add(1)
			}
		}
	}()
	t.Cleanup(func() { l.finish() })
	return l
}

// finish stops the load and returns how many messages were sent.
func (l *load) finish() (total int64) {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	<-l.ended
	for i := range l.sent {
		total += l.sent[i].Load()
	}
	return total
}

// arrivals is what a topic in Kafka holds of a load.
type arrivals struct{ records, missing, repeated, outOfOrder int64 }

// count reads the Kafka topic and compares it with the load. Repeats are set
// aside before the order is judged.
func (l *load) count(t *testing.T, kafkaTopic string) arrivals {
	t.Helper()
	var a arrivals
	next := map[string]int64{}
	seen := map[string]map[int64]bool{}
	readWithKcat(t, kafkaTopic, func(_ string, value []byte) {
		a.records++
		var r record
		require.NoError(t, json.Unmarshal(value, &r))
		payload, err := base64.StdEncoding.DecodeString(r.Payload)
		require.NoError(t, err)
		seq, err := strconv.ParseInt(string(payload), 10, 64)
		require.NoError(t, err)
		if seen[r.Topic] == nil {
			seen[r.Topic] = map[int64]bool{}
		}
		switch {
		case seen[r.Topic][seq]:
			a.repeated++
			return
		case seq != next[r.Topic]:
			a.outOfOrder++
		}
		seen[r.Topic][seq] = true
		next[r.Topic] = seq + 1
	})
	for i := range l.sent {
		for seq := range l.sent[i].Load() {
			if !seen[fmt.Sprintf("%s/%d", l.prefix, i)][seq] {
				a.missing++
			}
		}
	}
	return a
}

func losslessPipeline(name string) string {
	return fmt.Sprintf(`
input:
  robustmq_kafka: { topic_id: %s/#, urls: [ %s ], client_id: %s }
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: %s }
`, name, mqttURL, name, brokers, name)
}

// settle waits until the topic in Kafka does not grow any more and holds at
// least what was sent.
func settle(t *testing.T, topic string, sent int64) {
	t.Helper()
	require.Eventually(t, func() bool { return recordCount(t, topic) >= sent }, time.Minute, 200*time.Millisecond,
		"of %d messages %d are in Kafka", sent, recordCount(t, topic))
	for last := int64(-1); ; {
		now := recordCount(t, topic)
		if now == last {
			return
		}
		last = now
		time.Sleep(500 * time.Millisecond)
	}
}

func TestCleanStopsLoseNothing(t *testing.T) {
	const stops = 5
	createTopic(t, "clean_stops", 3)
	pipeline := startPipeline(t, losslessPipeline("clean_stops"))
	pipeline.waitReady()
	l := startLoad(t, "clean_stops", 20, 2000)
	for range stops {
		time.Sleep(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		code, took := pipeline.stop()
		require.Zero(t, code)
		require.Less(t, took, 20*time.Second)
		pipeline = startPipeline(t, losslessPipeline("clean_stops"))
		pipeline.waitReady()
	}
	sent := l.finish()
	settle(t, "clean_stops", sent)
	a := l.count(t, "clean_stops")
	t.Logf("%d stops, %d messages: %+v", stops, sent, a)
	assert.Zero(t, a.missing)
	assert.Zero(t, a.outOfOrder)
}

func TestCrashesLoseNothing(t *testing.T) {
	const crashes = 5
	createTopic(t, "crashes", 3)
	pipeline := startPipeline(t, losslessPipeline("crashes"))
	pipeline.waitReady()
	l := startLoad(t, "crashes", 20, 2000)
	for range crashes {
		time.Sleep(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		require.NoError(t, pipeline.cmd.Process.Kill())
		<-pipeline.exited
		pipeline = startPipeline(t, losslessPipeline("crashes"))
		pipeline.waitReady()
	}
	sent := l.finish()
	settle(t, "crashes", sent)
	a := l.count(t, "crashes")
	t.Logf("%d crashes, %d messages: %+v", crashes, sent, a)
	assert.Zero(t, a.missing)
	assert.Zero(t, a.outOfOrder)
	assert.LessOrEqual(t, a.repeated, int64(crashes*20), "at most the in-flight window of mosquitto a crash")
}
