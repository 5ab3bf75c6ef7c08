//go:build integration

package integration

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/tests/program"
)

// wayBack writes numbered records to a Kafka topic until it is finished, and notes what
// a subscriber of the broker gets of them.
type wayBack struct {
	servers
	name string // of the Kafka topic, the group and the first level of the MQTT topics
	keys int
	sent []int // by key; read it after finish
	stop context.CancelFunc
	done chan struct{}

	mu  sync.Mutex
	got [][]int // by key, in the order of arrival
}

func newWayBack(t *testing.T, s servers, name string) *wayBack {
	t.Helper()
	const keys = 20
	s.createTopic(t, name, 4)
	w := &wayBack{servers: s, name: name, keys: keys, sent: make([]int, keys), got: make([][]int, keys), done: make(chan struct{})}
	// Its session outlives a restart of the broker.
	subscriber := paho.NewClient(publisherOptions(s.direct, name+"-subscriber").
		SetCleanSession(false).SetAutoReconnect(true).SetMaxReconnectInterval(time.Second).SetResumeSubs(true).
		SetDefaultPublishHandler(w.note))
	token := subscriber.Connect()
	require.True(t, token.WaitTimeout(10*time.Second))
	require.NoError(t, token.Error())
	t.Cleanup(func() { subscriber.Disconnect(100) })
	token = subscriber.Subscribe(name+"/#", 1, w.note)
	require.True(t, token.WaitTimeout(10*time.Second))
	require.NoError(t, token.Error())
	return w
}

func (w *wayBack) note(_ paho.Client, m paho.Message) {
	key, err := strconv.Atoi(strings.TrimPrefix(m.Topic(), w.name+"/"))
	n, err2 := strconv.Atoi(string(m.Payload()))
	if err != nil || err2 != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got[key] = append(w.got[key], n)
}

func (w *wayBack) count() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, numbers := range w.got {
		n += len(numbers)
	}
	return n
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
	t.Cleanup(stop)
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
			// The producer retries until Kafka has them, each once.
			if err := client.ProduceSync(context.Background(), batch...).FirstErr(); err != nil {
				return
			}
		}
	}()
}

// verdict ends the load and checks that all of it has arrived, in order by key with
// repeats set aside.
func (w *wayBack) verdict(t *testing.T) (repeats int) {
	t.Helper()
	w.stop()
	<-w.done
	whole := func() (missing int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for key, numbers := range w.got {
			next := 0
			for _, n := range numbers {
				if n == next {
					next++
				}
			}
			missing += w.sent[key] - next
		}
		return missing
	}
	require.Eventually(t, func() bool { return whole() == 0 }, 2*time.Minute, 100*time.Millisecond, "messages are missing or out of order")
	time.Sleep(time.Second) // for repeats, which are only counted
	total := 0
	for key, numbers := range w.got {
		total += w.sent[key]
		repeats += len(numbers) - w.sent[key]
	}
	t.Logf("%d messages, 0 missing, in order by key, %d repeats", total, repeats)
	return repeats
}

// flows waits until messages arrive again, after a fault.
func (w *wayBack) flows(t *testing.T) {
	t.Helper()
	before := w.count()
	require.Eventually(t, func() bool { return w.count() > before+200 }, 90*time.Second, 20*time.Millisecond, "nothing flows")
}

// Bridges that join and leave the group repeat nothing, because each gives a partition
// up only once what is in flight is acknowledged.
func TestKafkaToMQTTBridgesJoinAndLeaveWithoutRepeats(t *testing.T) {
	w := newWayBack(t, shared, "back_rebalance")
	first := startPipeline(t, w.pipeline())
	first.WaitReady()
	w.start(t, 2000)
	w.flows(t)
	for range times(2, 10) {
		second := startPipeline(t, w.pipeline())
		second.WaitReady()
		time.Sleep(4 * time.Second) // the group deals the partitions out
		w.flows(t)
		code, _ := first.Stop()
		require.Zero(t, code)
		w.flows(t)
		first = second
	}
	assert.Zero(t, w.verdict(t))
}

func TestKafkaToMQTTCrashesLoseNothing(t *testing.T) {
	w := newWayBack(t, shared, "back_crash")
	bridges := []*program.Process{startPipeline(t, w.pipeline()), startPipeline(t, w.pipeline())}
	for _, b := range bridges {
		b.WaitReady()
	}
	w.start(t, 2000)
	for i := range times(4, 20) {
		w.flows(t)
		bridges[i%2].Kill()
		bridges[i%2] = startPipeline(t, w.pipeline())
		bridges[i%2].WaitReady()
	}
	w.verdict(t)
}

func TestKafkaToMQTTFaultsLoseNothing(t *testing.T) {
	s := startOwnServers(t)
	for _, f := range []struct {
		name string
		do   func()
	}{
		{"mosquitto_restarted", func() { s.restart(t, "mosquitto") }},
		{"kafka_restarted", func() { s.restart(t, "kafka") }},
		{"mqtt_cut", s.mqttWay.cut},
		{"mqtt_half_open", s.mqttWay.swallow},
		{"kafka_cut", s.kafkaWay.cut},
	} {
		t.Run(f.name, func(t *testing.T) {
			w := newWayBack(t, s.servers, "back_"+f.name)
			startPipeline(t, w.pipeline()).WaitReady()
			w.start(t, 1000)
			for range times(1, 5) {
				w.flows(t)
				f.do()
			}
			w.flows(t)
			w.verdict(t)
		})
	}
}
