package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
)

func withProperties(pairs ...string) *service.Message {
	msg := service.NewMessage([]byte("payload"))
	var list []any
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, map[string]any{"key": pairs[i], "value": pairs[i+1]})
	}
	msg.MetaSetMut(envelope.MetaUserProperties, list)
	return msg
}

const traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// A consumer goes on with the trace of the publisher, whatever the record's value is.
func TestTraceContextOfAMessageBecomesHeaders(t *testing.T) {
	msg := withProperties("site", "north", "traceparent", traceParent, "tracestate", "a=1,b=\x00é", "TraceParent", "x", "baggage", "k=v", "tracestate", "c=3")
	want := []kgo.RecordHeader{
		{Key: "traceparent", Value: []byte(traceParent)},
		{Key: "tracestate", Value: []byte("a=1,b=\x00é")},
		{Key: "baggage", Value: []byte("k=v")},
		{Key: "tracestate", Value: []byte("c=3")},
	}
	for name, lines := range map[string][]string{"raw": nil, "envelope": {`envelope: { enabled: true }`}} {
		c := parsed(t, []string{"localhost:1"}, lines...)
		msg.MetaSetMut(envelope.MetaTopic, "a")
		records, errs := made(c, service.MessageBatch{msg})
		require.Nil(t, errs, name)
		assert.Equal(t, want, records[0].Headers, name)
	}
	// As does whoever reads a dead letter.
	var record kgo.Record
	c := parsed(t, []string{"localhost:1"}, `metadata: { include_prefixes: [ "none" ] }`)
	c.records.fallback(&record, msg)
	assert.Equal(t, want, record.Headers)
}

func TestAHeaderOfTheMetadataWinsOverTheTraceContext(t *testing.T) {
	msg := withProperties("traceparent", traceParent, "tracestate", "a=1")
	msg.MetaSetMut("traceparent", "of a processor")
	records, errs := made(parsed(t, []string{"localhost:1"}, `metadata: { include_prefixes: [ "trace" ] }`), service.MessageBatch{msg})
	require.Nil(t, errs)
	assert.Equal(t, []kgo.RecordHeader{{Key: "traceparent", Value: []byte("of a processor")}, {Key: "tracestate", Value: []byte("a=1")}}, records[0].Headers)
}

func TestUserPropertiesAloneAreNoHeaders(t *testing.T) {
	json := service.NewMessage(nil)
	json.MetaSetMut(envelope.MetaUserProperties, `[{"key":"traceparent","value":"as text"}]`)
	odd := service.NewMessage(nil)
	odd.MetaSetMut(envelope.MetaUserProperties, []any{"x", map[string]any{"key": 1}, map[string]any{"key": "traceparent", "value": 7}})
	records, errs := made(parsed(t, []string{"localhost:1"}), service.MessageBatch{service.NewMessage(nil), withProperties("site", "north"), json, odd})
	require.Nil(t, errs)
	for _, r := range records {
		assert.Empty(t, r.Headers)
	}
}
