package model

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// record is a record in Kafka.
type record struct {
	partition int32
	offset    int64
	payload   string
	at        time.Time // the input's time of receipt
	precision time.Duration
}

// check compares the contents of Kafka with what the broker was told.
func (w *world) check() error {
	records, err := w.records()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	errs := []error{w.checkAcked(records), w.checkMissing(records), w.checkEach(records), w.checkOrder(records), w.checkOnce(records)}
	for i, s := range w.sites {
		for _, p := range s.broker.Problems() {
			errs = append(errs, fmt.Errorf("the input broke the protocol at broker %d: %s", i, p))
		}
	}
	return errors.Join(errs...)
}

func (w *world) records() ([]record, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.address), kgo.Dialer(dial), kgo.ConsumeTopics(kafkaTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var want, got int64
	for _, p := range w.cluster.PartitionInfos(kafkaTopic) {
		want += p.HighWatermark
	}
	var all []record
	for got < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("consuming: %w", err)
		}
		for r := range fetches.RecordsAll() {
			got++
			one, err := w.record(r)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
	}
	return all, nil
}

func (w *world) record(r *kgo.Record) (record, error) {
	one := record{partition: r.Partition, offset: r.Offset, payload: string(r.Value)}
	for _, h := range r.Headers {
		if h.Key != "mqtt_timestamp_ms" {
			continue
		}
		ms, err := strconv.ParseInt(string(h.Value), 10, 64)
		if err != nil {
			return one, err
		}
		one.at, one.precision = time.UnixMilli(ms), time.Millisecond
	}
	if w.plan.envelope {
		var e struct {
			Payload   string
			Topic     string
			Timestamp int64
		}
		if err := json.Unmarshal(r.Value, &e); err != nil {
			return one, err
		}
		payload, err := base64.StdEncoding.DecodeString(e.Payload)
		if err != nil {
			return one, err
		}
		one.payload = string(payload)
		if e.Topic != string(r.Key) {
			return one, fmt.Errorf("a record of topic %q has the key %q", e.Topic, r.Key)
		}
		if one.at.Unix() != e.Timestamp {
			return one, fmt.Errorf("a record with the timestamps %d and %s", e.Timestamp, one.at)
		}
	}
	if p, ok := w.sent[one.payload]; !ok || p.topic != string(r.Key) {
		return one, fmt.Errorf("a record of topic %q that nobody has sent: %q", r.Key, one.payload)
	}
	return one, nil
}

// checkAcked requires every message to be in Kafka when it is acknowledged.
func (w *world) checkAcked(records []record) error {
	for _, a := range w.acked {
		found := false
		for _, r := range records {
			if r.payload == a.payload && r.offset < a.ends[r.partition] {
				found = true
			}
		}
		if !found {
			return fmt.Errorf("acknowledged before Kafka had it, whose partitions ended at %v: %.20q", a.ends, a.payload)
		}
	}
	return nil
}

// settled is how long the client must have had a message for it to be certainly
// received.
const settled = 5 * time.Millisecond

// checkMissing requires every message in Kafka that the broker did not lose. A message
// that was lost with its session must still be in Kafka if the client had it, unless
// the client was stopped in between, or configured to leave rejected messages to the
// broker.
func (w *world) checkMissing(records []record) error {
	missing := map[string]bool{}
	for payload, p := range w.sent {
		missing[payload] = qosOf(p.topic) > 0
	}
	for _, s := range w.sites {
		for _, l := range s.broker.Lost() {
			if l.Held < settled || w.plan.pending != "16MiB" || w.restarts > 0 || !w.plan.replay && w.refused {
				delete(missing, l.Payload)
			}
		}
	}
	for _, r := range records {
		delete(missing, r.payload)
	}
	for payload, counts := range missing {
		if counts {
			return fmt.Errorf("missing in Kafka: %.20q", payload)
		}
	}
	return nil
}

func (w *world) checkEach(records []record) error {
	for _, r := range records {
		sent := w.sent[r.payload].at.Truncate(r.precision)
		if r.at.Before(sent) || r.at.After(time.Now()) {
			return fmt.Errorf("received at %s, published at %s: %.20q", r.at, sent, r.payload)
		}
	}
	return nil
}

// checkOrder requires the messages of each topic to be in order. Each connection may
// start one repetition, and so may each refusal by Kafka: see checkOnce.
func (w *world) checkOrder(records []record) error {
	if w.plan.shuffled || w.plan.rejects && w.refused {
		return nil // later messages overtake rejected ones
	}
	welcomed := 0
	for _, s := range w.sites {
		_, n := s.broker.Connections()
		welcomed += n
	}
	last, highest, back := map[string]int{}, map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	for _, r := range records {
		p := w.sent[r.payload]
		if p.number < highest[p.topic] && !seen[r.payload] {
			return fmt.Errorf("message %d of topic %s came after message %d", p.number, p.topic, highest[p.topic])
		}
		if p.number <= last[p.topic] {
			if back[p.topic]++; back[p.topic] >= welcomed && !w.refused {
				return fmt.Errorf("topic %s began %d repetitions over %d connections", p.topic, back[p.topic], welcomed)
			}
		}
		seen[r.payload] = true
		last[p.topic] = p.number
		highest[p.topic] = max(highest[p.topic], p.number)
	}
	return nil
}

// checkOnce requires messages of QoS 0 at most once, and those of QoS 2 too unless
// something happened that allows a repetition:
//
//   - Kafka refuses a record: it is unknown whether an earlier, unanswered attempt
//     wrote it.
//   - The input connects to another broker: it hands over what it has not acknowledged
//     to the first one, which may never return.
//   - A CONNACK does not arrive: the input does not know whether the broker still has
//     the session.
//   - The broker loses the session or renumbers, or the process ends.
func (w *world) checkOnce(records []record) error {
	if w.refused {
		return nil
	}
	seen := map[string]int{}
	for _, r := range records {
		seen[r.payload]++
	}
	for payload, n := range seen {
		qos := qosOf(w.sent[payload].topic)
		if n > 1 && (qos == 0 || qos == 2 && w.plan.sites == 1 && w.sites[0].broker.Unanswered() == 0 && !w.plan.fresh && !w.plan.losses && w.restarts == 0) {
			return fmt.Errorf("%d times in Kafka at QoS %d: %.20q", n, qos, payload)
		}
	}
	return nil
}
