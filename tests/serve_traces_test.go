package tests

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// connectorsOf are the connectors that spans name, each once.
func connectorsOf(spans []*tracepb.Span) (names []string) {
	for _, span := range spans {
		for _, a := range span.GetAttributes() {
			if name := a.GetValue().GetStringValue(); a.GetKey() == "connector" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// The spans of a service's connectors belong to the publisher's trace and name the
// connector. One that is deleted takes no spans of others along, and the end of the
// service sends the last.
func TestTheConnectorsOfAServiceAreTraced(t *testing.T) {
	traces := &tracesOf{spans: map[string][]*tracepb.Span{}}
	web := httptest.NewServer(traces)
	t.Cleanup(web.Close)
	g := newGitops(t, "--traces-to", web.URL, "--traces-ratio", "0", "--drain-timeout", "2s")
	for _, name := range []string{"a", "b"} {
		g.must("create", "-n", name, "--config", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, g.kafka), "--topic-id", "in/#")
	}
	g.until(map[string]string{"a": "Running", "b": "Running"})
	publisher := &exampleRig{t: t, mqttURL: g.broker}
	publisher.publish5("in/1", "traced", "traceparent", traceparent)
	publisher.publish5("in/1", "not traced")
	require.Eventually(t, func() bool {
		return assert.ObjectsAreEqual([]string{"a", "b"}, connectorsOf(traces.get(publishersTrace)))
	}, exampleTimeout, 50*time.Millisecond)

	g.must("delete", "-c", "a")
	const another = "1af7651916cd43dd8448eb211c80319c"
	publisher.publish5("in/1", "traced", "traceparent", "00-"+another+"-"+publishersSpan+"-01")
	require.Eventually(t, func() bool {
		var detail admin.Detail
		return json.Unmarshal([]byte(g.must("detail", "-c", "b", "--output", "json")), &detail) == nil && detail.SendSuccessTotal == 3
	}, exampleTimeout, 100*time.Millisecond)
	code, _ := g.service.Stop()
	assert.Zero(t, code)
	assert.Equal(t, []string{"b"}, connectorsOf(traces.get(another)))
	assert.Len(t, traces.spans, 2, "a message without a trace is not traced at a ratio of 0")
}
