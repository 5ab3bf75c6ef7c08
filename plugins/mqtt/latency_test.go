package mqtt

import (
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/internal/latency"
)

// A message that Kafka refuses is counted when it is acknowledged in the end, with the
// time since it was received first.
func TestLatencyIsCountedForEachMessageOnceItIsAcknowledged(t *testing.T) {
	_, p, in, _ := connected(t, "")
	in.latency = &latency.Histogram{}
	counted := func() int {
		count, _, _ := in.latency.Snapshot()
		return int(count)
	}
	batch, ack := together(t, p, in, publish("a/b", 1, 1, "one"), publish("a/b", 1, 2, "two"), publish("a/b", 2, 3, "three"))
	assert.Zero(t, counted())
	require.NoError(t, ack(t.Context(), refused(batch, 1)))
	assert.Equal(t, 2, counted(), "the refused message is not acknowledged")
	_, acks := readN(t, in, 1)
	ackAll(t, acks, nil)
	assert.Equal(t, 3, counted())
}

func TestLatencyIsThatOfEachMessageAlsoInOneBatch(t *testing.T) {
	in := &input{latency: &latency.Histogram{}}
	o := &pendingBatch{in: in}
	now := time.Now()
	var messages []message
	for _, age := range []time.Duration{time.Hour, 20 * time.Second, 20 * time.Second, 20 * time.Second, 0} {
		messages = append(messages, message{received: now.Add(-age)})
	}
	o.measure(messages)
	count, sum, below := in.latency.Snapshot()
	assert.Equal(t, uint64(5), count)
	assert.InDelta(t, 3660, sum.Seconds(), 60)
	assert.Equal(t, uint64(1), below[10])
	assert.Equal(t, uint64(4), below[60])
	assert.Equal(t, uint64(4), below[1800])
	(&pendingBatch{in: &input{}}).measure(messages) // nobody asks
}

func TestTheInputTakesTheHistogramOfItsStream(t *testing.T) {
	conf, err := Spec().ParseYAML("urls: ['tcp://127.0.0.1:1']\ntopics: [a]", nil)
	require.NoError(t, err)
	parsed, err := parseConfig(conf)
	require.NoError(t, err)
	mgr := service.MockResources()
	h := &latency.Histogram{}
	latency.Put(mgr, h)
	in := newInput(parsed, mgr)
	defer func() { require.NoError(t, in.Close(t.Context())) }()
	assert.Same(t, h, in.latency)
}

// One batch of 1000 messages of two reads of the socket.
func BenchmarkMeasure(b *testing.B) {
	o := &pendingBatch{in: &input{latency: &latency.Histogram{}}}
	now := time.Now()
	messages := make([]message, 1000)
	for i := range messages {
		messages[i].received = now.Add(time.Duration(i/500) * time.Millisecond)
	}
	for b.Loop() {
		o.measure(messages)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(messages)), "ns/message")
}
