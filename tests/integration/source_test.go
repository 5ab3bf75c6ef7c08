//go:build integration

package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/tests/crashes"
)

// wayBack writes numbered records to a Kafka topic until it is finished, and notes what
// a subscriber of the broker gets of them.
type wayBack struct {
	servers
	name string // of the Kafka topic, the group and the first level of the MQTT topics
	keys int
	sent []int64 // by key; read it after done
	stop context.CancelFunc
	done chan struct{}

	mu  sync.Mutex
	got *tally
}

func newWayBack(t *testing.T, s servers, name string) *wayBack {
	t.Helper()
	const keys = 20
	s.createTopic(t, name, 4)
	w := &wayBack{servers: s, name: name, keys: keys, sent: make([]int64, keys), got: newTally(), done: make(chan struct{})}
	// Its session outlives a restart of the broker.
	subscriber := paho.NewClient(publisherOptions(s.direct, name+"-subscriber").
		SetCleanSession(false).SetAutoReconnect(true).SetMaxReconnectInterval(time.Second).SetResumeSubs(true).
		SetDefaultPublishHandler(w.note))
	token := subscriber.Connect()
	require.True(t, token.WaitTimeout(time.Minute))
	require.NoError(t, token.Error())
	t.Cleanup(func() { subscriber.Disconnect(100) })
	token = subscriber.Subscribe(name+"/#", 1, w.note)
	require.True(t, token.WaitTimeout(time.Minute))
	require.NoError(t, token.Error())
	return w
}

func (w *wayBack) note(_ paho.Client, m paho.Message) {
	if seq, err := strconv.ParseInt(string(m.Payload()), 10, 64); err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got.add(m.Topic(), seq)
	}
}

// arrived is how many messages the subscriber has got, repeats included.
func (w *wayBack) arrived(context.Context) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got.records, nil
}

func (w *wayBack) pipeline() string {
	return fmt.Sprintf(`
input:
  robustmq_kafka_source: { bootstrap_servers: %q, topic: %s, group_id: %s, format: raw }
output:
  robustmq_mqtt: { urls: [ %s ], keepalive: 2 }
`, w.kafka, w.name, w.name, w.mqtt)
}

// start writes at a rate a second.
func (w *wayBack) start(t *testing.T, rate int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka), kgo.DefaultProduceTopic(w.name))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	go func() {
		defer close(w.done)
		defer client.Close()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var batch []*kgo.Record
			for range rate / 20 {
				key := n % w.keys
				batch = append(batch, &kgo.Record{
					Key: []byte(strconv.Itoa(key)), Value: []byte(strconv.Itoa(n / w.keys)),
					Headers: []kgo.RecordHeader{{Key: "mqtt_topic", Value: fmt.Appendf(nil, "%s/%d", w.name, key)}},
				})
				w.sent[key]++
				n++
			}
			if !produced(t, client, batch) {
				return
			}
		}
	}()
	t.Cleanup(func() { stop(); <-w.done })
}

// produced writes records until Kafka has all of them, for at most two minutes. The client
// gives records up when a Kafka that starts closes its connections.
func produced(t *testing.T, client *kgo.Client, batch []*kgo.Record) bool {
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		failed := map[*kgo.Record]error{}
		for _, r := range client.ProduceSync(context.Background(), batch...) {
			if r.Err != nil {
				failed[r.Record] = r.Err
			}
		}
		batch = slices.DeleteFunc(batch, func(r *kgo.Record) bool { return failed[r] == nil })
		if len(batch) == 0 {
			return true
		}
		t.Logf("writing %d records again: %v", len(batch), failed[batch[0]])
		if time.Now().After(end) {
			t.Errorf("Kafka does not take the load: %v", failed[batch[0]])
			return false
		}
	}
}

// verdict ends the load, waits until the subscriber has all of it, and requires that nothing
// is missing or out of order.
func (w *wayBack) verdict(t *testing.T, what string) arrivals {
	t.Helper()
	w.stop()
	<-w.done
	var sent int64
	for _, n := range w.sent {
		sent += n
	}
	require.NotZero(t, sent)
	assert.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.got.records-w.got.repeated >= sent
	}, 2*time.Minute, 100*time.Millisecond, "of %d messages, not all have arrived", sent)
	time.Sleep(time.Second) // for repeats, which are only counted
	w.mu.Lock()
	defer w.mu.Unlock()
	a := *w.got
	for key, n := range w.sent {
		a.compare(fmt.Sprintf("%s/%d", w.name, key), n)
	}
	t.Logf("%s: %+v", what, a.arrivals)
	assert.Zero(t, a.missing, "missing")
	assert.Zero(t, a.outOfOrder, "out of order")
	return a.arrivals
}

// Bridges that join and leave the group repeat nothing, because each gives a partition
// up only once what is in flight is acknowledged.
func TestKafkaToMQTTBridgesJoinAndLeaveWithoutRepeats(t *testing.T) {
	c := toMQTT(t, shared, "back_rebalance")
	c.run(t)
	c.load.start(t, 2000)
	c.flows(t, 90*time.Second)
	count := times(2, 10)
	for range count {
		first := c.process
		c.run(t)
		time.Sleep(4 * time.Second) // the group deals the partitions out
		c.flows(t, 90*time.Second)
		code, _ := first.Stop()
		require.Zero(t, code)
		c.flows(t, 90*time.Second)
	}
	assert.Zero(t, c.verdict(t, crashes.Rebalance, count).repeated)
}

func TestKafkaToMQTTStopsRepeatNothing(t *testing.T) {
	c := toMQTT(t, shared, "back_stops")
	c.run(t)
	c.load.start(t, 2000)
	count := times(3, 20)
	for range count {
		c.flows(t, 90*time.Second)
		code, took := c.process.Stop()
		require.Zero(t, code)
		require.Less(t, took, 20*time.Second)
		c.run(t)
	}
	assert.Zero(t, c.verdict(t, crashes.Stop, count).repeated)
}

// Two bridges take turns, because Kafka gives the partitions of one that was killed to
// another only after its session timeout.
func TestKafkaToMQTTCrashesLoseNothing(t *testing.T) {
	c := toMQTT(t, shared, "back_crash")
	other := startPipeline(t, c.pipeline)
	c.run(t)
	other.WaitReady()
	c.load.start(t, 2000)
	count := times(4, 20)
	for range count {
		c.flows(t, 90*time.Second)
		other.Kill()
		other = c.process
		c.run(t)
	}
	c.verdict(t, crashes.Kill, count)
}
