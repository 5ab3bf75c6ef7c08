package supervisor

import (
	"net/http"

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
	theirs := robustMQMetrics{dashboard: c.supervisor.opts.RobustMQDashboard}
	standing := make(map[connector.State]float64, len(states))
	for _, e := range c.supervisor.ownEntries() {
		c.supervisor.protect(e, func() {
			status := c.supervisor.status(e)
			collectEngine(out, status, e.figures)
			measured, sends := e.figures.measure(), e.figures.timer(metricSendDuration)
			theirs.collect(out, status, measured, sends)
			c.supervisor.collectConnector(out, e, status, measured, sends)
			standing[status.State]++
		})
	}
	theirs.collectAll(out)
	for _, state := range states {
		sample{serviceMetric + "connectors", "Connectors by their state.", prometheus.GaugeValue, standing[state]}.send(out, "state", string(state))
	}
}

func collectEngine(out chan<- prometheus.Metric, status connector.Status, f *figures) {
	for _, s := range f.allSeries() {
		labels := append([]string{"connector"}, s.keys...)
		values := append([]string{status.Name}, s.values...)
		desc := prometheus.NewDesc(s.name, "A metric of the engine, see its documentation.", labels, nil)
		switch s.kind {
		case counterKind:
			out <- constant(desc, prometheus.CounterValue, float64(s.count.Load()), values)
		case gaugeKind:
			if s.member == 0 {
				out <- constant(desc, prometheus.GaugeValue, f.sumOver(s), values)
			}
		case timerKind:
			if s.count.Load() == 0 {
				continue
			}
			m, err := prometheus.NewConstSummary(desc, uint64(s.count.Load()), float64(s.bits.Load()), nil, values...)
			out <- orInvalid(desc, m, err)
		}
	}
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
