package supervisor

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Metrics serves one registry for Prometheus: the engine's metrics of every connector,
// labelled with its name, the service's own (prometheus_names.go), and RobustMQ's
// connector metrics. Those of a connector that is deleted are gone.
func (s *Supervisor) Metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{s},
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		// One metric that goes wrong must not take the others along.
		ErrorHandling: promhttp.ContinueOnError,
	})
}

// collector makes the metrics at each scrape, so that none outlives its connector.
type collector struct{ supervisor *Supervisor }

// Describe tells nothing: the engine's metrics are known when they occur.
func (*collector) Describe(chan<- *prometheus.Desc) {}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("mqtt_connector_unreadable", "Connectors that do not run because their definitions cannot be read.", nil, nil)
	out <- constant(desc, prometheus.GaugeValue, float64(c.supervisor.unreadable()), nil)
	c.supervisor.collectService(out)
	standing := make(map[connector.State]float64, len(states))
	for _, e := range c.supervisor.list() {
		c.supervisor.protect(e, func() {
			status := c.supervisor.status(e)
			collectEngine(out, status, e.figures)
			collectRobustMQ(out, status, e.figures)
			c.supervisor.collectConnector(out, e, status)
			standing[status.State]++
		})
	}
	for _, state := range states {
		sample{serviceMetric + "connectors", "Connectors by their state.", prometheus.GaugeValue, standing[state]}.send(out, "state", string(state))
	}
}

func collectEngine(out chan<- prometheus.Metric, status connector.Status, f *figures) {
	for _, s := range f.all() {
		labels := append([]string{"connector"}, s.keys...)
		values := append([]string{status.Name}, s.values...)
		desc := prometheus.NewDesc(s.name, "A metric of the engine, see its documentation.", labels, nil)
		switch s.kind {
		case counterKind:
			out <- constant(desc, prometheus.CounterValue, float64(s.count.Load()), values)
		case gaugeKind:
			out <- constant(desc, prometheus.GaugeValue, s.float(), values)
		case timerKind:
			m, err := prometheus.NewConstSummary(desc, uint64(s.count.Load()), float64(s.bits.Load()), nil, values...)
			out <- orInvalid(desc, m, err)
		}
	}
}

// RobustMQ's connector metrics, by its names and labels.
func collectRobustMQ(out chan<- prometheus.Metric, status connector.Status, f *figures) {
	strategy := "block"
	if status.FailureStrategy != nil {
		strategy = status.FailureStrategy.Strategy
	}
	for _, m := range []struct {
		name, help, label, value string
		kind                     prometheus.ValueType
		is                       float64
	}{
		{"mqtt_connector_messages_sent_success_total", "Records that Kafka acknowledged.", "", "", prometheus.CounterValue, float64(f.sum(metricSent))},
		{"mqtt_connector_messages_sent_failure_total", "Records that Kafka refused.", "", "", prometheus.CounterValue, float64(f.sum(metricFailed))},
		{"mqtt_connector_retry_total", "Retries of records that Kafka refused.", "strategy", strategy, prometheus.CounterValue, float64(f.sum(metricRetried))},
		{"mqtt_connector_messages_discarded_total", "Records that the failure strategy dropped.", "strategy", strategy, prometheus.CounterValue, float64(f.sum(metricDiscarded))},
		{"mqtt_connector_dlq_messages_total", "Records written to the dead letter topic.", "result", "success", prometheus.CounterValue, float64(f.sum(metricDeadLettered))},
		{"mqtt_connector_source_read_failure_total", "Connections to the MQTT broker that failed or were lost.", "", "", prometheus.CounterValue, float64(f.sum(metricReadFailed, metricReadLost))},
		{"mqtt_connector_up", "Whether the connector is Running: both its ends are connected, and messages get through.", "", "", prometheus.GaugeValue, oneIf(status.State == connector.Running)},
	} {
		labels, values := robustMQLabels(status)
		if m.label != "" {
			labels, values = append(labels, m.label), append(values, m.value)
		}
		out <- constant(prometheus.NewDesc(m.name, m.help, labels, nil), m.kind, m.is, values)
	}
	for _, state := range states {
		labels, values := robustMQLabels(status)
		desc := prometheus.NewDesc("mqtt_connector_state", "1 for the state in which the connector is, 0 for the others.", append(labels, "state"), nil)
		out <- constant(desc, prometheus.GaugeValue, oneIf(status.State == state), append(values, string(state)))
	}

	count, sum, cumulative := f.timer(metricSendDuration)
	labels, values := robustMQLabels(status)
	desc := prometheus.NewDesc("mqtt_connector_send_duration_ms", "How long Kafka takes to acknowledge a batch, in milliseconds.", labels, nil)
	m, err := prometheus.NewConstHistogram(desc, count, float64(sum)/float64(time.Millisecond), cumulative, values...)
	out <- orInvalid(desc, m, err)
}

func robustMQLabels(status connector.Status) (labels, values []string) {
	return []string{"tenant", "connector_type", "connector_name"}, slices.Clone([]string{status.Tenant, status.Type, status.Name})
}

func constant(desc *prometheus.Desc, kind prometheus.ValueType, is float64, values []string) prometheus.Metric {
	m, err := prometheus.NewConstMetric(desc, kind, is, values...)
	return orInvalid(desc, m, err)
}

func orInvalid(desc *prometheus.Desc, m prometheus.Metric, err error) prometheus.Metric {
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}
