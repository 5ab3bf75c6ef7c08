package supervisor

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// The service's own metrics follow the conventions of Prometheus: base units, the unit as
// a suffix, _total for what only grows. Those of one connector have the label connector,
// as the engine's have, so that both can be joined.
const (
	serviceMetric   = "robustmq_connect_"
	connectorMetric = "robustmq_connect_connector_"
)

// states are those of connectors, in the order in which documents name them.
var states = []connector.State{connector.Running, connector.Waiting, connector.Failed, connector.Paused}

// sample is one value of a metric.
type sample struct {
	name, help string
	kind       prometheus.ValueType
	value      float64
}

// send writes a sample. The labels are pairs of name and value.
func (m sample) send(out chan<- prometheus.Metric, labels ...string) {
	names, values := pairs(labels)
	out <- constant(prometheus.NewDesc(m.name, m.help, names, nil), m.kind, m.value, values)
}

// pairs splits a list of names and values in turn.
func pairs(labels []string) (names, values []string) {
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	return names, values
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// collectService writes the metrics that are of no single connector.
func (s *Supervisor) collectService(out chan<- prometheus.Metric) {
	gauge := func(name, help string, value float64, labels ...string) {
		sample{serviceMetric + name, help, prometheus.GaugeValue, value}.send(out, labels...)
	}
	gauge("build_info", "1. The label is the version of the program.", 1, "version", s.opts.Version)
	gauge("store_writable", "Whether the store takes changes of connectors: its disk is asked.", oneIf(s.StoreReady() == nil))
	gauge("streams_not_ended", "Streams that go on though their connectors were stopped: restart the service to end them.", float64(len(s.surviving())))
	gauge("pending_bytes", "What all connectors together have read and not yet acknowledged.", float64(s.pending.Held()))
	gauge("pending_limit_bytes", "What they may hold: --max-pending-bytes.", float64(s.pending.Total()))
	for _, c := range s.certificates() {
		c.send(out, "")
	}
	if s.opts.Share == nil {
		return
	}
	m := s.opts.Share.Membership()
	gauge("workers", "Workers that share the connectors, as this one knows.", float64(m.Workers))
	gauge("worker_partitions", "Partitions of the assignment topic that this worker owns.", float64(m.Partitions))
	gauge("worker_writes_store", "Whether this worker writes the store for all workers: one of them does.", oneIf(m.Writer))
	gauge("worker_confirmed", "Whether the coordinator of the workers answers this one.", oneIf(m.Confirmed))
	sample{serviceMetric + "worker_rebalances_total", "Rebalances that changed what this worker owns.", prometheus.CounterValue, float64(m.Rebalances)}.send(out)
	last := 0.0
	if !m.LastRebalance.IsZero() {
		last = float64(m.LastRebalance.UnixNano()) / 1e9
	}
	gauge("worker_last_rebalance_timestamp_seconds", "When the last of them ended, as Unix time; 0 before the first.", last)
	gauge("worker_last_rebalance_duration_seconds", "How long it took, draining included; 0 if it took nothing from this worker.", m.Took.Seconds())
}

// collectConnector writes the metrics of one connector.
func (s *Supervisor) collectConnector(out chan<- prometheus.Metric, e *entry, status connector.Status, report measured, sends timing) {
	write := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		sample{connectorMetric + name, help, kind, value}.send(out, append([]string{"connector", status.Name}, labels...)...)
	}
	for _, m := range []struct {
		name, help string
		value      int64
	}{
		{"messages_received_total", "Messages that the input has read from the MQTT broker.", report.Received},
		{"records_sent_total", "Records that Kafka acknowledged.", report.Sent},
		{"records_refused_total", "Records that Kafka refused, each time that it did.", report.Failed},
		{"records_retried_total", "Retries that the failure strategy asked for.", report.Retried},
		{"records_discarded_total", "Records that the failure strategy discarded.", report.Discarded},
		{"records_dead_lettered_total", "Records that were written to the dead letter topic.", report.DeadLettered},
		{"broker_connection_failures_total", "Connections to the MQTT broker that failed or were lost.", report.brokerFailures},
	} {
		write(prometheus.CounterValue, m.name, m.help, float64(m.value))
	}

	lastSend := 0.0
	if !report.LastSend.IsZero() {
		lastSend = float64(report.LastSend.UnixNano()) / 1e9
	}
	for _, m := range []struct {
		name, help string
		value      float64
	}{
		{"up", "Whether the connector is Running: both its ends are connected, and messages get through.", oneIf(status.State == connector.Running)},
		{"blocked", "Whether the output holds messages because Kafka refuses them or does not answer.", oneIf(report.blocked)},
		{"quarantined", "Whether the connector is held back because it ended the process.", oneIf(s.quarantined(e))},
		{"in_flight_messages", "Messages that the MQTT broker has delivered and that are not acknowledged to it.", float64(report.InFlight)},
		{"lag_seconds", "Age of the oldest message that is not acknowledged, 0 without any.", report.OldestUnacked.Seconds()},
		{"last_send_timestamp_seconds", "When Kafka acknowledged a record last, as Unix time; 0 before the first.", lastSend},
	} {
		write(prometheus.GaugeValue, m.name, m.help, m.value)
	}
	for _, lag := range s.shownLag(e) {
		write(prometheus.GaugeValue, "kafka_lag_records", "Records of a partition that the consumer group of a kafka_source has not committed.", float64(lag.Records),
			"topic", lag.Topic, "partition", strconv.Itoa(lag.Partition))
	}
	for _, state := range states {
		write(prometheus.GaugeValue, "state", "1 for the state in which the connector is, 0 for the others.", oneIf(status.State == state), "state", string(state))
	}
	waiting := make(map[connector.Need]float64, len(needs))
	for _, w := range status.Waits {
		waiting[w.For] = time.Since(w.Since).Seconds()
	}
	for _, need := range needs {
		write(prometheus.GaugeValue, "waiting_seconds", "How long the connector has waited for something, 0 while it does not.", waiting[need], "waits_for", string(need))
	}

	// The buckets of histograms are half of what a connector exports, so that one which has
	// moved no message has none.
	labels := []string{"connector"}
	if count, sum, below := e.figures.latency.Snapshot(); count > 0 {
		desc := prometheus.NewDesc(connectorMetric+"end_to_end_latency_seconds",
			"Time of a message from its receipt to the moment at which Kafka has it and it is acknowledged to the MQTT broker.", labels, nil)
		m, err := prometheus.NewConstHistogram(desc, count, sum.Seconds(), below, status.Name)
		out <- orInvalid(desc, m, err)
	}
	if sends.count > 0 {
		desc := prometheus.NewDesc(connectorMetric+"send_duration_seconds", "Time that Kafka takes to acknowledge a batch.", labels, nil)
		m, err := prometheus.NewConstHistogram(desc, sends.count, sends.sum.Seconds(), sends.cumulative(ourBounds, 1000), status.Name)
		out <- orInvalid(desc, m, err)
	}

	for _, c := range s.certificatesOf(e) {
		c.send(out, status.Name)
	}
}

func (s *Supervisor) quarantined(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(e.all(), func(one *entry) bool { return one.failed != nil && one.failed.quarantined })
}
