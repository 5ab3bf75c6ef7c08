package kafka

import "github.com/redpanda-data/benthos/v4/public/service"

// metrics are those of one output. None is counted by record, but what befalls
// single records.
type metrics struct {
	sent     *service.MetricCounter
	duration *service.MetricTimer // from the first byte of a batch to its end
	blocked  *service.MetricGauge // 1 while a batch is held

	failed       *service.MetricCounter // refused, whatever came of it
	retried      *service.MetricCounter // tries that the failure strategy asked for
	discarded    *service.MetricCounter
	deadLettered *service.MetricCounter
}

func newMetrics(m *service.Metrics) metrics {
	return metrics{
		sent:         m.NewCounter("kafka_output_records_sent"),
		duration:     m.NewTimer("kafka_output_send_duration"),
		blocked:      m.NewGauge("kafka_output_blocked"),
		failed:       m.NewCounter("kafka_output_records_failed", "topic", "class", "error"),
		retried:      m.NewCounter("kafka_output_records_retried"),
		discarded:    m.NewCounter("kafka_output_records_discarded", "strategy"),
		deadLettered: m.NewCounter("kafka_output_records_dead_lettered"),
	}
}

func (m *metrics) fail(topic string, err error) {
	m.failed.Incr(1, topic, string(classify(err)), code(err))
}
