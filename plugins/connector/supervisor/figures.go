package supervisor

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/latency"
)

// exporterName is the metrics exporter of a stream in this process: it passes the
// metrics to the figures of the connector named in its field.
const (
	exporterName  = "robustmq_connector"
	exporterField = "figures"
)

// Metrics of components that figures use.
const (
	metricReceived      = "input_received"
	metricInFlight      = "mqtt_input_in_flight"
	metricOldestUnacked = "mqtt_input_oldest_unacked_seconds"
	metricBufferOldest  = "disk_buffer_oldest_seconds"
	metricSent          = "kafka_output_records_sent"
	metricFailed        = "kafka_output_records_failed"
	metricRetried       = "kafka_output_records_retried"
	metricDiscarded     = "kafka_output_records_discarded"
	metricDeadLettered  = "kafka_output_records_dead_lettered"
	metricSendDuration  = "kafka_output_send_duration"
	metricBlocked       = "kafka_output_blocked"
	metricReadFailed    = "input_connection_failed"
	metricReadLost      = "input_connection_lost"

	// The engine counts each event of a connection in a counter that begins so.
	metricInputConnection  = "input_connection_"
	metricOutputConnection = "output_connection_"

	// Those of a source.
	metricDelivered        = "kafka_input_records_acknowledged"
	metricKafkaInFlight    = "kafka_input_in_flight"
	metricKafkaOldest      = "kafka_input_oldest_unacked_seconds"
	metricLag              = "kafka_lag"
	metricPublishFailed    = "mqtt_output_messages_failed"
	metricPublishRetried   = "mqtt_output_messages_retried"
	metricPublishDiscarded = "mqtt_output_messages_discarded"
	metricPublishDead      = "mqtt_output_messages_dead_lettered"
	metricPublishBlocked   = "mqtt_output_blocked"
	metricWriteFailed      = "output_connection_failed"
	metricWriteLost        = "output_connection_lost"
)

// figures counts what a connector does, across all its streams.
type figures struct {
	lastSend atomic.Int64 // Unix nanoseconds
	latency  latency.Histogram
	// connections counts the events of the connections of both ends.
	connections atomic.Int64

	mu     sync.Mutex
	source bool // of a connector that reads from Kafka
	series map[string]*series
	oldest []*series       // those of metricOldestUnacked, metricKafkaOldest and metricBufferOldest
	topics map[string]bool // that have a label
	// progress are the times of the last progress of a message, in Unix nanoseconds, by
	// member.
	progress map[int]*atomic.Int64
}

func newFigures() *figures { return &figures{series: make(map[string]*series)} }

type kind int

const (
	counterKind kind = iota
	gaugeKind
	timerKind
)

// series is one metric of one connector with its label values.
type series struct {
	name   string
	kind   kind
	keys   []string
	values []string
	member int // that has set a gauge

	count     atomic.Int64  // of a counter or a timer
	bits      atomic.Uint64 // of a gauge: the float; of a timer: the sum in nanoseconds
	histogram *histogram    // of a timer
	sends     *atomic.Int64 // set to the time of each count, nil if nobody asks
	progress  bool          // a count is progress of a message
	events    *atomic.Int64 // counts the counts, nil if nobody asks
}

func (s *series) Incr(n int64) {
	s.count.Add(n)
	if s.events != nil {
		s.events.Add(1)
	}
	if s.sends != nil {
		s.sends.Store(time.Now().UnixNano())
	}
}

// counter is a series whose counts are progress of a member.
type counter struct {
	*series
	at *atomic.Int64
}

func (c counter) Incr(n int64) {
	c.series.Incr(n)
	c.at.Store(time.Now().UnixNano())
}

func (s *series) Set(v int64) { s.SetFloat64(float64(v)) }

func (s *series) SetFloat64(v float64) { s.bits.Store(math.Float64bits(v)) }

func (s *series) Timing(nanoseconds int64) {
	s.count.Add(1)
	s.bits.Add(uint64(max(0, nanoseconds)))
	s.histogram.observe(float64(nanoseconds) / 1e6)
}

// label returns the value of a label, "" without it.
func (s *series) label(key string) string {
	if at := slices.Index(s.keys, key); at >= 0 && at < len(s.values) {
		return s.values[at]
	}
	return ""
}

func (s *series) float() float64 { return math.Float64frombits(s.bits.Load()) }

// The label topic comes from messages. A component has a limited number of them, but
// each start of a stream creates a component that starts with none. A connector has
// this many in total; the rest counts as another topic.
const (
	topicKey   = "topic"
	otherTopic = "other"
	maxTopics  = 100
)

func (f *figures) boundedLocked(keys, values []string) []string {
	at := slices.Index(keys, topicKey)
	if at < 0 || at >= len(values) {
		return values
	}
	if topic := values[at]; !f.topics[topic] && topic != otherTopic {
		if len(f.topics) >= maxTopics {
			values = slices.Clone(values)
			values[at] = otherTopic
			return values
		}
		if f.topics == nil {
			f.topics = make(map[string]bool)
		}
		f.topics[topic] = true
	}
	return values
}

// get returns the series of a name and label values. Members count together, and each has
// its own gauges.
func (f *figures) get(name string, member int, k kind, keys, values []string) *series {
	f.mu.Lock()
	defer f.mu.Unlock()
	values = f.boundedLocked(keys, values)
	id := name
	if len(values) > 0 {
		id += "\x00" + strings.Join(values, "\x00")
	}
	if k != gaugeKind {
		member = 0
	} else if member > 0 {
		id += "\x01" + strconv.Itoa(member)
	}
	s := f.series[id]
	if s == nil {
		s = &series{name: name, member: member, kind: k, keys: slices.Clone(keys), values: slices.Clone(values)}
		if k == timerKind {
			s.histogram = new(histogram)
		}
		switch name {
		case metricSent, metricDelivered:
			s.sends, s.progress = &f.lastSend, true
		case metricRetried, metricDiscarded, metricDeadLettered, metricPublishRetried, metricPublishDiscarded, metricPublishDead:
			s.progress = true
		case metricOldestUnacked, metricKafkaOldest, metricBufferOldest:
			f.oldest = append(f.oldest, s)
		}
		if strings.HasPrefix(name, metricInputConnection) || strings.HasPrefix(name, metricOutputConnection) {
			s.events = &f.connections
		}
		f.series[id] = s
	}
	return s
}

// allSeries returns every series.
func (f *figures) allSeries() []*series {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*series, 0, len(f.series))
	for _, s := range f.series {
		all = append(all, s)
	}
	return all
}

// sum adds up the counters of a name over their labels.
func (f *figures) sum(names ...string) (n int64) {
	for _, s := range f.allSeries() {
		if slices.Contains(names, s.name) {
			n += s.count.Load()
		}
	}
	return n
}

func (f *figures) setSource(source bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.source = source
}

// stopped resets the values of a member that are valid only for a running stream.
func (f *figures) stopped(member int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, s := range f.series {
		switch {
		case s.member != member:
		case s.name == metricLag:
			delete(f.series, id) // 0 would mean that all is delivered
		case s.kind == gaugeKind:
			s.Set(0)
		}
	}
}

// lag returns how far the group of a source is behind, by topic and partition.
func (f *figures) lag() (all []connector.Lag) {
	for _, s := range f.allSeries() {
		if s.name != metricLag {
			continue
		}
		if partition, err := strconv.Atoi(s.label("partition")); err == nil {
			all = append(all, connector.Lag{Topic: s.label(topicKey), Partition: partition, Records: int64(s.float())})
		}
	}
	slices.SortFunc(all, compareLags)
	return all
}

func (f *figures) report() connector.Figures { return f.sample().Figures }

// stuckFor returns for how long no message of a member has made progress although some are
// in flight.
func (f *figures) stuckFor(member int) time.Duration {
	var seconds float64
	f.mu.Lock()
	for _, s := range f.oldest {
		if s.member == member {
			seconds = max(seconds, s.float())
		}
	}
	f.mu.Unlock()
	if seconds == 0 {
		return 0 // as at rest, where each connector is asked once a second
	}
	oldest := time.Duration(seconds * float64(time.Second))
	if at := f.progressOf(member).Load(); at > 0 {
		oldest = min(oldest, time.Since(time.Unix(0, at)))
	}
	return oldest
}

// progressOf returns where the time of the last progress of a member stands, 0 before the
// first.
func (f *figures) progressOf(member int) *atomic.Int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.progress[member]
	if at == nil {
		at = &atomic.Int64{}
		if f.progress == nil {
			f.progress = make(map[int]*atomic.Int64)
		}
		f.progress[member] = at
	}
	return at
}

// exporter passes the metrics of one stream to the figures of its connector.
type exporter struct {
	*figures
	member int
}

func (e exporter) NewCounterCtor(name string, keys ...string) service.MetricsExporterCounterCtor {
	return func(values ...string) service.MetricsExporterCounter {
		s := e.get(name, e.member, counterKind, keys, values)
		if s.progress {
			return counter{s, e.progressOf(e.member)}
		}
		return s
	}
}

func (e exporter) NewTimerCtor(name string, keys ...string) service.MetricsExporterTimerCtor {
	return func(values ...string) service.MetricsExporterTimer {
		return e.get(name, e.member, timerKind, keys, values)
	}
}

func (e exporter) NewGaugeCtor(name string, keys ...string) service.MetricsExporterGaugeCtor {
	return func(values ...string) service.MetricsExporterGauge {
		return e.get(name, e.member, gaugeKind, keys, values)
	}
}

// Close keeps the counts: the next stream of the connector continues them.
func (e exporter) Close(context.Context) error {
	e.stopped(e.member)
	return nil
}

// sumOver adds up a gauge over the members of a connector. s is that of the first one.
func (f *figures) sumOver(s *series) (sum float64) {
	for _, one := range f.allSeries() {
		if one.name == s.name && slices.Equal(one.values, s.values) {
			sum += one.float()
		}
	}
	return sum
}
