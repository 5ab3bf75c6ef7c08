package kafka

import (
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// metrics are the metrics of one output. Only refused records are counted one by one;
// everything else is counted by batch.
type metrics struct {
	sent     *service.MetricCounter
	duration *service.MetricTimer // from the first byte of a batch to its end
	blocked  *service.MetricGauge // 1 while a batch is held

	failed       *service.MetricCounter // refused, whatever happened to them afterwards
	topics       *topicLabels           // of failed
	retried      *service.MetricCounter // retries that the failure strategy made
	discarded    *service.MetricCounter
	deadLettered *service.MetricCounter
}

// newMetrics keeps that many topics as labels of their own.
func newMetrics(m *service.Metrics, topics int) metrics {
	return metrics{
		sent:         m.NewCounter("kafka_output_records_sent"),
		duration:     m.NewTimer("kafka_output_send_duration"),
		blocked:      m.NewGauge("kafka_output_blocked"),
		failed:       m.NewCounter("kafka_output_records_failed", "topic", "class", "error"),
		topics:       &topicLabels{most: topics},
		retried:      m.NewCounter("kafka_output_records_retried"),
		discarded:    m.NewCounter("kafka_output_records_discarded", "strategy"),
		deadLettered: m.NewCounter("kafka_output_records_dead_lettered"),
	}
}

func (m *metrics) fail(topic string, err error) {
	m.failed.Incr(1, m.topics.label(topic), string(classify(err)), code(err))
}

// otherTopics is the label of topics that have none of their own.
const otherTopics = "other"

// topicLabels are the topics that have a label of their own: the first ones, up to a
// limit, with legal names. Each label is a metric series, and messages may name any
// number of topics.
type topicLabels struct {
	most int

	mu    sync.Mutex
	known map[string]struct{}
}

func (l *topicLabels) label(topic string) string {
	if topic == "" {
		return "" // the message has none
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.known[topic]; known {
		return topic
	}
	if len(l.known) >= l.most || checkTopic(topic) != nil {
		return otherTopics
	}
	if l.known == nil {
		l.known = map[string]struct{}{}
	}
	l.known[topic] = struct{}{}
	return topic
}
