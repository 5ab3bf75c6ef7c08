package supervisor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// robustMQMetrics writes RobustMQ's connector metrics, by the names and labels that it
// documents. With dashboard it also writes those that RobustMQ's Grafana dashboard
// queries and RobustMQ itself does not export, and the histogram has RobustMQ's buckets
// (its src/common/metrics/src/mqtt/connector.rs and grafana/robustmq-broker.json).
type robustMQMetrics struct {
	dashboard    bool
	sent, failed float64 // of all connectors so far
	sends        timing
}

func (r *robustMQMetrics) collect(out chan<- prometheus.Metric, status connector.Status, report measured, sends timing) {
	strategy := "block"
	if status.FailureStrategy != nil {
		strategy = status.FailureStrategy.Strategy
	}
	labels := []string{"tenant", status.Tenant, "connector_type", status.Type, "connector_name", status.Name}
	write := func(name, help string, kind prometheus.ValueType, value float64, more ...string) {
		sample{name, help, kind, value}.send(out, append(labels[:len(labels):len(labels)], more...)...)
	}
	counter := func(name, help string, value float64, more ...string) {
		write(name, help, prometheus.CounterValue, value, more...)
	}
	sent, failed := float64(report.Sent), float64(report.Failed)
	counter("mqtt_connector_messages_sent_success_total", "Records that Kafka acknowledged.", sent)
	counter("mqtt_connector_messages_sent_failure_total", "Records that Kafka refused.", failed)
	counter("mqtt_connector_retry_total", "Retries of records that Kafka refused.", float64(report.Retried), "strategy", strategy)
	counter("mqtt_connector_messages_discarded_total", "Records that the failure strategy dropped.", float64(report.Discarded), "strategy", strategy)
	counter("mqtt_connector_dlq_messages_total", "Records written to the dead letter topic.", float64(report.DeadLettered), "result", "success")
	counter("mqtt_connector_source_read_failure_total", "Connections to the MQTT broker that failed or were lost.", float64(report.brokerFailures))
	write("mqtt_connector_up", "Whether the connector is Running: both its ends are connected, and messages get through.", prometheus.GaugeValue, oneIf(status.State == connector.Running))
	for _, state := range states {
		write("mqtt_connector_state", "1 for the state in which the connector is, 0 for the others.", prometheus.GaugeValue, oneIf(status.State == state), "state", string(state))
	}
	bounds := ourBounds
	if r.dashboard {
		bounds = robustMQBounds
		counter("mqtt_connector_messages_sent_success", "Records that Kafka acknowledged.", sent)
		counter("mqtt_connector_messages_sent_failure", "Records that Kafka refused.", failed)
		counter("mqtt_connector_offset_commit_failure_total", "Always 0: what a connector has read is acknowledged to the MQTT broker, and no offset is committed.", 0)
		r.sent, r.failed = r.sent+sent, r.failed+failed
		r.sends.merge(sends)
	}
	if r.dashboard || sends.count > 0 {
		sendDuration(out, "mqtt_connector_send_duration_ms", sends, bounds, labels...)
	}
}

// collectAll writes what is added up over all connectors.
func (r *robustMQMetrics) collectAll(out chan<- prometheus.Metric) {
	if !r.dashboard {
		return
	}
	sample{"mqtt_connector_messages_sent_success_agg", "Records of all connectors that Kafka acknowledged.", prometheus.CounterValue, r.sent}.send(out)
	sample{"mqtt_connector_messages_sent_failure_agg", "Records of all connectors that Kafka refused.", prometheus.CounterValue, r.failed}.send(out)
	sendDuration(out, "mqtt_connector_send_duration_ms_agg", r.sends, robustMQBounds)
}

func sendDuration(out chan<- prometheus.Metric, name string, t timing, bounds []float64, labels ...string) {
	names, values := pairs(labels)
	desc := prometheus.NewDesc(name, "How long Kafka takes to acknowledge a batch, in milliseconds.", names, nil)
	m, err := prometheus.NewConstHistogram(desc, t.count, float64(t.sum)/float64(time.Millisecond), t.cumulative(bounds, 1), values...)
	out <- orInvalid(desc, m, err)
}
