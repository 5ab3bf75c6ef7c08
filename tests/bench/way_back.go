package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/tests/sink"
)

// stock64 is upstream's pair with 64 messages in flight, which are not in order.
const stock64 = "stock64"

// wayBackCells carry records from Kafka to MQTT at QoS 1. In the first, a sink takes the
// messages, so that no broker is the limit.
func wayBackCells(scale func(int) int) []cell {
	load := load{messages: scale(1_600_000), size: 64, topics: 100}
	return []cell{
		{Name: "Kafka to MQTT, 64 B, a sink", Partitions: 1, StockShare: 16, WayBack: true, load: load},
		{Name: "Kafka to MQTT, 64 B, mosquitto", Partitions: 1, StockShare: 16, WayBack: true, Mosquitto: true, load: load},
	}
}

// ourWayBack keeps the order.
func ourWayBack(c cell, mqtt, brokers, topic string) string {
	return fmt.Sprintf(`
http: { enabled: %t, address: %q }
logger: { level: WARN }
input:
  robustmq_kafka_source: { bootstrap_servers: %q, topic: %s, group_id: %s, format: raw }
output:
  robustmq_mqtt: { urls: [ %q ], client_id: bench, topic: bench/a }
`, c.MetricsAt != "", c.MetricsAt, brokers, topic, group(), mqtt)
}

// stockWayBack keeps the order with one message in flight.
func stockWayBack(c cell, mqtt, brokers, topic string, inFlight int) string {
	return fmt.Sprintf(`
http: { enabled: %t, address: %q }
logger: { level: WARN }
pipeline: { threads: 1 }
input:
  kafka_franz: { seed_brokers: [ %q ], topics: [ %s ], consumer_group: %s, start_offset: earliest }
output:
  mqtt: { urls: [ %q ], client_id: bench, topic: bench/a, qos: 1, max_in_flight: %d }
`, c.MetricsAt != "", c.MetricsAt, brokers, topic, group(), mqtt, inFlight)
}

var groupNumber atomic.Int64

// group returns a consumer group that has read nothing yet.
func group() string { return fmt.Sprintf("bench_%d_%d", os.Getpid(), groupNumber.Add(1)) }

// receiver counts the messages that an MQTT broker has acknowledged.
type receiver interface {
	URL() string
	Count() int64
	Close()
}

// startReceiver returns the receiver of a cell, and the address at which it expects the
// metrics of the process, "" if it expects none.
func startReceiver(c cell) (to receiver, metrics string, err error) {
	if c.Mosquitto {
		m, err := startMeter(os.Getenv("MQTT_URL"))
		if err != nil {
			return nil, "", err
		}
		return m, m.address, nil
	}
	to, err = sink.Listen(sink.Options{})
	return to, "", err
}

// measureWayBack lets a system publish the records of a topic. The clock runs from the
// first message to the last.
func measureWayBack(s system, c cell, brokers, dir string) (f figures, err error) {
	messages := int64(c.load.messages)
	if s.name != ours {
		messages /= int64(c.StockShare)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	topic, remove, err := fill(ctx, c, brokers, messages)
	if err != nil {
		return f, err
	}
	defer remove()
	to, metrics, err := startReceiver(c)
	if err != nil {
		return f, err
	}
	defer to.Close()
	c.MetricsAt = metrics
	p, err := s.start(ctx, c, to.URL(), brokers, topic, dir)
	if err != nil {
		return f, err
	}
	defer p.kill()
	if err := p.until(ctx, func() bool { return to.Count() > 0 }); err != nil {
		return f, err
	}
	before, err := cpuTime(p.pid())
	if err != nil {
		return f, err
	}
	began, first := time.Now(), to.Count()
	if err := p.until(ctx, func() bool { return to.Count() >= messages }); err != nil {
		return f, fmt.Errorf("%d of %d messages have arrived: %w", to.Count(), messages, err)
	}
	moved := float64(messages - first)
	f.Rate = moved / time.Since(began).Seconds()
	after, err := cpuTime(p.pid())
	if err != nil {
		return f, err
	}
	f.CPU = (after - before).Seconds() * 1e6 / moved
	f.Memory, err = peakMemory(p.pid())
	return f, err
}

// fill makes a topic with so many records.
func fill(ctx context.Context, c cell, brokers string, records int64) (topic string, remove func(), err error) {
	// As our output writes them. Compressed, equal records would be one fetch.
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return "", nil, err
	}
	admin := kadm.NewClient(client)
	topic = fmt.Sprintf("bench_back_%d_%d", os.Getpid(), topicNumber.Add(1))
	if _, err := admin.CreateTopic(ctx, int32(c.Partitions), 1, nil, topic); err != nil {
		client.Close()
		return "", nil, fmt.Errorf("creating a topic: %w", err)
	}
	var failed atomic.Pointer[error]
	value := []byte(strings.Repeat("x", c.load.size))
	for n := range records {
		record := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "bench/%d", n%int64(c.load.topics)), Value: value}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	err = client.Flush(ctx)
	if f := failed.Load(); f != nil {
		err = errors.Join(err, *f)
	}
	remove = func() {
		_, _ = admin.DeleteTopics(context.Background(), topic) // the server's data is thrown away anyhow
		client.Close()
	}
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("filling a topic: %w", err)
	}
	return topic, remove, nil
}

// meter counts what a process has published by its own metrics, where a broker does not
// tell: a subscriber would be work for the broker, and a proxy would delay what it sends.
type meter struct {
	brokerURL, address string
	http               http.Client
	seen               int64
}

func startMeter(brokerURL string) (*meter, error) {
	if brokerURL == "" {
		return nil, errNoBroker
	}
	address, err := freeAddress()
	return &meter{brokerURL: brokerURL, address: address, http: http.Client{Timeout: 10 * time.Second}}, err
}

func (m *meter) URL() string { return m.brokerURL }
func (m *meter) Close()      { m.http.CloseIdleConnections() }

// Count asks at most fifty times a second. It returns the last answer while there is none.
func (m *meter) Count() int64 {
	time.Sleep(20 * time.Millisecond)
	resp, err := m.http.Get("http://" + m.address + "/metrics")
	if err != nil {
		return m.seen
	}
	defer func() { _ = resp.Body.Close() }() // read only
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && strings.HasPrefix(name, "output_sent{") {
			if sent, err := strconv.ParseFloat(value, 64); err == nil {
				m.seen = int64(sent)
			}
		}
	}
	return m.seen
}

// wayBackTable compares each system's rate and CPU with ours.
func wayBackTable(cells []cellReport) string {
	var b strings.Builder
	for _, c := range cells {
		o, one, many := c.Systems[ours], c.Systems[stock], c.Systems[stock64]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.1f, %.1f | %.1f, %.1f |\n", strings.TrimPrefix(c.Name, "Kafka to MQTT, "), o, one, many,
			o.Rate/one.Rate, one.CPU/o.CPU, o.Rate/many.Rate, many.CPU/o.CPU)
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nFrom Kafka to MQTT at QoS 1, in order but for the stock pair with 64 messages in flight:\n\n" +
		"| to | ours | stock, 1 in flight | stock, 64 in flight | ours to 1: rate, CPU | ours to 64: rate, CPU |\n|---|---|---|---|---|---|\n" + b.String()
}
