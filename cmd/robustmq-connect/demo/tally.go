package demo

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

// demoTally compares what the sensors publish with what arrives in Kafka.
type demoTally struct {
	mu       sync.Mutex
	topics   map[string]*topicTally
	onWay    int           // sent and not arrived
	settled  chan struct{} // closed and replaced when onWay reaches 0
	sum      demoTotals    // the counters only
	lately   latencies     // since the last interval
	overall  latencies
	began    time.Time
	since    time.Time // when the last interval ended
	reported demoTotals
}

type topicTally struct {
	flights map[int64]flight // sent and not arrived, by sequence number
	sent    int64            // highest sequence number sent
	arrived int64            // highest sequence number arrived
}

type flight struct {
	at    time.Time
	acked bool
}

// demoTotals are correct if Missing and OutOfOrder are 0: then every message that the
// broker acknowledged is in Kafka, and InKafka equals Published.
type demoTotals struct {
	Type       string  `json:"type"`
	OK         bool    `json:"ok"`
	ElapsedS   float64 `json:"elapsed_s"`
	Published  int64   `json:"published"` // by the sensors, acknowledged by the broker
	InKafka    int64   `json:"in_kafka"`  // of those, each counted once
	Missing    int64   `json:"missing"`
	Duplicates int64   `json:"duplicates"` // arrived again
	OutOfOrder int64   `json:"out_of_order"`
	Dropped    int64   `json:"broker_dropped"` // for any subscriber of the broker
	Others     int64   `json:"from_others"`    // records that the sensors did not publish
	P50        float64 `json:"latency_p50_ms"` // publish to consumption
	P99        float64 `json:"latency_p99_ms"`
}

// demoStats are the figures of one interval; the counters are since the start.
type demoStats struct {
	Type      string  `json:"type"`
	ElapsedS  float64 `json:"elapsed_s"`
	Published int64   `json:"published"`
	InKafka   int64   `json:"in_kafka"`
	Others    int64   `json:"from_others"`
	Rate      float64 `json:"rate"` // records a second into Kafka, all publishers
	P50       float64 `json:"latency_p50_ms"`
	P99       float64 `json:"latency_p99_ms"`
}

func newTally() *demoTally {
	now := time.Now()
	return &demoTally{topics: make(map[string]*topicTally), settled: make(chan struct{}), began: now, since: now}
}

// sent is called before the message is sent, because it could arrive at once.
func (t *demoTally) sent(topic string, seq int64, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tt := t.topics[topic]
	if tt == nil {
		tt = &topicTally{flights: make(map[int64]flight)}
		t.topics[topic] = tt
	}
	tt.flights[seq] = flight{at: at}
	tt.sent = seq
	t.onWay++
}

func (t *demoTally) acked(topic string, seq int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Published++
	tt := t.topics[topic]
	if f, ok := tt.flights[seq]; ok {
		f.acked = true
		tt.flights[seq] = f
	}
}

// arrived counts one record's value. A value that no sensor published counts as another
// publisher's.
func (t *demoTally) arrived(value []byte, at time.Time) {
	var envelope struct {
		Topic   string `json:"topic"`
		Payload []byte `json:"payload"` // base64 in JSON
	}
	var reading struct {
		Seq int64 `json:"seq"`
	}
	ours := json.Unmarshal(value, &envelope) == nil && json.Unmarshal(envelope.Payload, &reading) == nil

	t.mu.Lock()
	defer t.mu.Unlock()
	tt := t.topics[envelope.Topic]
	if !ours || tt == nil || reading.Seq < 1 || reading.Seq > tt.sent {
		t.sum.Others++
		return
	}
	f, onWay := tt.flights[reading.Seq]
	if !onWay {
		t.sum.Duplicates++
		return
	}
	delete(tt.flights, reading.Seq)
	t.sum.InKafka++
	t.lately.add(at.Sub(f.at))
	if reading.Seq < tt.arrived {
		t.sum.OutOfOrder++
	} else {
		tt.arrived = reading.Seq
	}
	if t.onWay--; t.onWay == 0 {
		close(t.settled)
		t.settled = make(chan struct{})
	}
}

// waitArrived returns when everything sent has arrived, or after d.
func (t *demoTally) waitArrived(d time.Duration) {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	for {
		t.mu.Lock()
		onWay, settled := t.onWay, t.settled
		t.mu.Unlock()
		if onWay == 0 {
			return
		}
		select {
		case <-settled:
		case <-timeout.C:
			return
		}
	}
}

// interval ends the current interval and starts the next.
func (t *demoTally) interval() demoStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	in := t.sum.InKafka + t.sum.Others - t.reported.InKafka - t.reported.Others
	s := demoStats{
		Type: "stats", ElapsedS: now.Sub(t.began).Seconds(),
		Published: t.sum.Published, InKafka: t.sum.InKafka, Others: t.sum.Others,
		Rate: float64(in) / now.Sub(t.since).Seconds(),
		P50:  t.lately.quantile(0.5), P99: t.lately.quantile(0.99),
	}
	t.overall.merge(&t.lately)
	t.lately = latencies{}
	t.since, t.reported = now, t.sum
	return s
}

func (t *demoTally) totals(dropped int64) demoTotals {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.overall.merge(&t.lately)
	t.lately = latencies{}
	s := t.sum
	s.Type, s.Dropped, s.ElapsedS = "totals", dropped, time.Since(t.began).Seconds()
	for _, tt := range t.topics {
		for _, f := range tt.flights {
			if f.acked {
				s.Missing++
			}
		}
	}
	s.P50, s.P99 = t.overall.quantile(0.5), t.overall.quantile(0.99)
	s.OK = s.check() == nil
	return s
}

// check returns what is wrong with the totals.
func (s demoTotals) check() error {
	var faults []string
	if s.Published == 0 {
		faults = append(faults, "nothing was published")
	}
	if s.Missing > 0 {
		fault := fmt.Sprintf("%d of %d messages are missing in kafka", s.Missing, s.Published)
		if s.Dropped > 0 {
			fault += fmt.Sprintf(", the broker dropped %d because the pipeline fell behind (lower --rate)", s.Dropped)
		}
		faults = append(faults, fault)
	}
	if s.OutOfOrder > 0 {
		faults = append(faults, fmt.Sprintf("%d of %d messages are out of order within their topic", s.OutOfOrder, s.Published))
	}
	if faults == nil {
		return nil
	}
	return fmt.Errorf("checking the totals: %s", strings.Join(faults, "; "))
}

// latencies is a histogram from 1 µs to 160 s whose buckets are 2 % wide.
type latencies struct {
	n       int64
	buckets [960]int64
}

const latencyStep = 1.02

func (l *latencies) add(d time.Duration) {
	i := 0
	if us := float64(d) / float64(time.Microsecond); us > 1 {
		i = min(int(math.Log(us)/math.Log(latencyStep)), len(l.buckets)-1)
	}
	l.buckets[i]++
	l.n++
}

func (l *latencies) merge(o *latencies) {
	l.n += o.n
	for i, n := range o.buckets {
		l.buckets[i] += n
	}
}

// quantile returns milliseconds, 0 if nothing was measured.
func (l *latencies) quantile(q float64) float64 {
	rank := int64(math.Ceil(q * float64(l.n)))
	for i, n := range l.buckets {
		if rank -= n; n > 0 && rank <= 0 {
			return math.Round(math.Pow(latencyStep, float64(i)+0.5)) / 1000
		}
	}
	return 0
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
