//go:build integration

package attack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/records"
)

const (
	// connectors is the number of healthy connectors, and pace the interval of the
	// messages of each: 20 a second.
	connectors = 10
	pace       = 50 * time.Millisecond
)

// healthy is the traffic of the connectors that are not attacked.
type healthy struct {
	t       *testing.T
	halt    chan struct{}
	ended   sync.WaitGroup
	reading context.CancelFunc

	sent     [connectors]atomic.Int64
	received atomic.Int64
	slowest  time.Duration // once the reader has ended
	next     [connectors]int64
}

func healthyName(i int) string   { return fmt.Sprintf("healthy%d", i) }
func healthyTopic(i int) string  { return fmt.Sprintf("healthy/%d/data", i) }
func healthyRecord(i int) string { return fmt.Sprintf("healthy_%d", i) }

// startHealthy creates the connectors and starts to publish and to read.
func startHealthy(t *testing.T, s *service) *healthy {
	t.Helper()
	h := &healthy{t: t, halt: make(chan struct{})}
	topics := make([]string, connectors)
	for i := range connectors {
		topics[i] = healthyRecord(i)
		// Keyless records of one topic go to one partition, by the MQTT topic.
		require.Empty(t, s.call(t, admin.PathCreate, s.definition(healthyName(i), healthyTopic(i), topics[i], "")))
	}
	require.Eventually(t, s.ConnectorsReady, patience, 20*time.Millisecond)

	reader, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Addr()), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond), kgo.UnknownTopicRetries(-1))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	h.reading = cancel
	h.ended.Go(func() {
		defer reader.Close()
		for ctx.Err() == nil {
			fetches := reader.PollFetches(ctx)
			now := time.Now()
			fetches.EachError(func(topic string, _ int32, err error) {
				assert.ErrorIs(t, err, context.Canceled, "reading %s", topic)
			})
			fetches.EachRecord(func(r *kgo.Record) { h.judge(r, now) })
		}
	})

	options := paho.NewClientOptions().AddBroker(s.broker.URL()).SetClientID("healthy-publisher").SetMaxResumePubInFlight(0)
	publisher := paho.NewClient(options)
	require.True(t, publisher.Connect().WaitTimeout(patience))
	h.ended.Go(func() {
		defer publisher.Disconnect(100)
		beat := time.NewTicker(pace)
		defer beat.Stop()
		for {
			select {
			case <-h.halt:
				return
			case <-beat.C:
			}
			for i := range connectors {
				payload := fmt.Sprintf(`{"n":%d,"sent":%d}`, h.sent[i].Load(), time.Now().UnixNano())
				h.sent[i].Add(1)
				publish := publisher.Publish(healthyTopic(i), 1, false, payload)
				if !publish.WaitTimeout(patience) || publish.Error() != nil {
					t.Errorf("publishing to healthy connector %d: %v", i, errors.Join(publish.Error(), errors.New("no answer")))
					return
				}
			}
		}
	})
	return h
}

// judge compares every field of a record with the published message.
func (h *healthy) judge(r *kgo.Record, arrived time.Time) {
	t := h.t
	var i int
	if _, err := fmt.Sscanf(r.Topic, "healthy_%d", &i); err != nil {
		t.Errorf("a record of topic %s: %s", r.Topic, err)
		return
	}
	var message struct {
		N    int64 `json:"n"`
		Sent int64 `json:"sent"`
	}
	e, err := records.Parse(r.Value)
	if err := errors.Join(err, json.Unmarshal(e.Payload, &message)); err != nil {
		t.Errorf("a record of %s: %s: %s", r.Topic, err, r.Value)
		return
	}
	assert.Equal(t, h.next[i], message.N, "record of %s: lost, repeated or out of order", r.Topic)
	h.next[i] = message.N + 1
	sent := time.Unix(0, message.Sent)
	topic := healthyTopic(i)
	assert.GreaterOrEqual(t, e.Timestamp, sent.Unix())
	assert.LessOrEqual(t, e.Timestamp, arrived.Unix())
	// The broker adds the expiry: a day, less what it had the message for, in whole seconds of
	// its clock.
	expiry := "86400"
	if len(e.Header) == 1 && e.Header[0].Value == "86399" && arrived.Unix() > sent.Unix() {
		expiry = "86399"
	}
	assert.Equal(t, records.Envelope{
		Topic: topic, QoS: 1, Payload: e.Payload, Timestamp: e.Timestamp, MessageID: e.MessageID,
		Header: []records.Property{{Key: "message-expiry-interval", Value: expiry}},
		Key:    topic, Data: e.Payload, Tags: []string{"healthy", strconv.Itoa(i), "data"}, CRC: e.CRC,
	}, e)
	assert.Equal(t, topic, string(r.Key))
	delay := arrived.Sub(sent)
	assert.LessOrEqual(t, delay, mostDelay, "message %d of %s", message.N, topic)
	h.slowest = max(h.slowest, delay)
	h.received.Add(1)
}

// stop stops the publisher, waits for its messages, and stops the reader.
func (h *healthy) stop() {
	h.t.Helper()
	close(h.halt)
	total := func() (n int64) {
		for i := range connectors {
			n += h.sent[i].Load()
		}
		return n
	}
	assert.Eventually(h.t, func() bool { return h.received.Load() >= total() }, patience, 20*time.Millisecond,
		"%d messages of %d arrived", h.received.Load(), total())
	time.Sleep(500 * time.Millisecond) // repeated records would arrive now
	h.reading()
	h.ended.Wait()
	assert.Equal(h.t, total(), h.received.Load())
	for i := range connectors {
		assert.Equal(h.t, h.sent[i].Load(), h.next[i], "records of %s", healthyRecord(i))
	}
}
