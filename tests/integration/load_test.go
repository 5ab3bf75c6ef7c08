//go:build integration

package integration

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// load publishes numbered messages over topics at a rate until it is finished.
type load struct {
	servers
	name   string // of the pipeline, its filter and its Kafka topic
	topics int
	size   int            // of a payload, at least
	buffer string         // the directory of a disk buffer, "" for none
	sent   []atomic.Int64 // acknowledged by the broker, by topic
	stop   chan struct{}
	ended  chan struct{}
}

// newLoad makes the Kafka topic of a load, which start begins.
func newLoad(t *testing.T, s servers, name string, topics int) *load {
	t.Helper()
	s.createTopic(t, name, 3)
	return &load{servers: s, name: name, topics: topics, sent: make([]atomic.Int64, topics), stop: make(chan struct{}), ended: make(chan struct{})}
}

// pipeline is that of the load, with more fields of its input and output.
func (l *load) pipeline(input, output string) string {
	if l.buffer != "" {
		input += fmt.Sprintf(", disk_buffer: { path: %q }", l.buffer)
	}
	return fmt.Sprintf(`
input:
  robustmq_kafka: { topic_id: %s/#, urls: [ %s ], client_id: %s %s }
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: %s %s }
`, l.name, l.mqtt, l.name, input, l.kafka, l.name, output)
}

// start publishes with QoS 1. What the broker has not acknowledged when a
// connection ends is published again, in its order.
func (l *load) start(t *testing.T, rate int) {
	t.Helper()
	const ticks = 20 // a second: mosquitto may take 40 ms over an acknowledgement
	perTick := rate / ticks
	publisher := l.connect()
	go func() {
		defer close(l.ended)
		defer func() { publisher.Disconnect(100) }()
		tick := time.NewTicker(time.Second / ticks)
		defer tick.Stop()
		for n := 0; ; {
			select {
			case <-l.stop:
				return
			case <-tick.C:
			}
			acked := publisher.publish(l, n, perTick)
			n += acked
			if acked < perTick {
				publisher.Disconnect(0)
				publisher = l.connect()
			}
		}
	}()
	t.Cleanup(func() { l.finish() })
}

// publisher is a connection that knows when it is lost: what was not
// acknowledged by then never will be.
type publisher struct {
	paho.Client
	lost chan struct{}
}

// connect tries until it succeeds, or the load is to stop.
func (l *load) connect() publisher {
	for {
		p := publisher{lost: make(chan struct{})}
		// Without a write timeout, a Publish that meets the loss blocks for 30 s.
		p.Client = paho.NewClient(publisherOptions(l.direct, l.name+"-load").SetWriteTimeout(time.Second).
			SetConnectionLostHandler(func(paho.Client, error) { close(p.lost) }))
		if token := p.Connect(); token.WaitTimeout(5*time.Second) && token.Error() == nil {
			return p
		}
		select {
		case <-l.stop:
			return p
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// publish sends count messages from the n-th on, and returns how many of them,
// in order, the broker has acknowledged.
func (p publisher) publish(l *load, n, count int) (acked int) {
	tokens := make([]paho.Token, count)
	for i := range tokens {
		topic, seq := (n+i)%l.topics, (n+i)/l.topics
		tokens[i] = p.Publish(fmt.Sprintf("%s/%d", l.name, topic), 1, false, fmt.Sprintf("%-*d", l.size, seq))
	}
	for i, token := range tokens {
		select {
		case <-token.Done():
		case <-p.lost:
			return i
		case <-time.After(10 * time.Second):
			return i
		}
		if token.Error() != nil {
			return i
		}
		l.sent[(n+i)%l.topics].Add(1)
	}
	return count
}

// total is how many messages the broker has acknowledged so far.
func (l *load) total() (n int64) {
	for i := range l.sent {
		n += l.sent[i].Load()
	}
	return n
}

func (l *load) finish() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	<-l.ended
}

// verdict ends the load, waits until the Kafka topic has all of it and does not
// grow any more, and requires that nothing is missing or out of order.
func (l *load) verdict(t *testing.T, what string) arrivals {
	t.Helper()
	l.finish()
	sent := l.total()
	require.NotZero(t, sent)
	require.Eventually(t, func() bool { return l.recordCount(t, l.name) >= sent }, 5*time.Minute, 200*time.Millisecond,
		"of %d messages, not all are in Kafka", sent)
	for last := int64(-1); ; {
		now := l.recordCount(t, l.name)
		if now == last {
			break
		}
		last = now
		time.Sleep(500 * time.Millisecond)
	}
	a := l.count(t)
	t.Logf("%s: %+v", what, a)
	assert.Zero(t, a.missing, "missing")
	assert.Zero(t, a.outOfOrder, "out of order")
	return a
}

// count reads the Kafka topic and compares it with the load.
func (l *load) count(t *testing.T) arrivals {
	t.Helper()
	all := newTally()
	l.readWithKcat(t, l.name, func(_ string, value []byte) {
		r := strictEnvelope(t, value)
		seq, err := strconv.ParseInt(strings.TrimRight(string(r.Payload), " "), 10, 64)
		require.NoError(t, err)
		all.add(r.Topic, seq)
	})
	for i := range l.sent {
		all.compare(fmt.Sprintf("%s/%d", l.name, i), l.sent[i].Load())
	}
	return all.arrivals
}

// arrived is how many records the Kafka topic holds.
func (l *load) arrived(ctx context.Context) (int64, error) { return l.tryRecordCount(ctx, l.name) }
