package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
)

// traceContext are the user properties by which a publisher hands on the trace that a
// message belongs to (W3C Trace Context, and Baggage). Consumers of Kafka look for them
// among the headers, by the same names.
var traceContext = []string{"traceparent", "tracestate", "baggage"}

// addTraceContext copies the trace context of a message into the headers of its record,
// unchanged and in order. A header that a filter of metadata has made stays as it is.
func addTraceContext(r *kgo.Record, msg *service.Message) {
	v, ok := msg.MetaGetImmut(envelope.MetaUserProperties)
	if !ok {
		return
	}
	list, _ := v.([]any)
	made := r.Headers
	for _, item := range list {
		property, _ := item.(map[string]any)
		key, _ := property["key"].(string)
		value, isText := property["value"].(string)
		if !isText || !slices.Contains(traceContext, key) {
			continue
		}
		if !slices.ContainsFunc(made, func(h kgo.RecordHeader) bool { return h.Key == key }) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
		}
	}
}
