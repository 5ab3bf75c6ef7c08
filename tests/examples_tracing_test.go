package tests

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt5 "github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// tracesOf is a collector: it keeps spans by the trace that they belong to.
type tracesOf struct {
	mu    sync.Mutex
	spans map[string][]*tracepb.Span
}

func (c *tracesOf) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var request collector.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err != nil || proto.Unmarshal(body, &request) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				c.spans[id] = append(c.spans[id], span)
			}
		}
	}
}

func (c *tracesOf) get(trace string) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tracepb.Span(nil), c.spans[trace]...)
}

// publish5 sends a message with user properties, at QoS 1.
func (r *exampleRig) publish5(topic, payload string, properties ...string) {
	r.t.Helper()
	ctx, done := context.WithTimeout(r.t.Context(), exampleTimeout)
	defer done()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.mqttURL, "tcp://"))
	require.NoError(r.t, err)
	client := mqtt5.NewClient(mqtt5.ClientConfig{Conn: conn})
	_, err = client.Connect(ctx, &mqtt5.Connect{ClientID: "publisher5", CleanStart: true, KeepAlive: 30})
	require.NoError(r.t, err)
	defer func() { _ = client.Disconnect(&mqtt5.Disconnect{}) }() // the test has what it wants
	var user mqtt5.UserProperties
	for i := 0; i < len(properties); i += 2 {
		user.Add(properties[i], properties[i+1])
	}
	_, err = client.Publish(ctx, &mqtt5.Publish{QoS: 1, Topic: topic, Payload: []byte(payload), Properties: &mqtt5.PublishProperties{User: user}})
	require.NoError(r.t, err)
}

const (
	publishersTrace = "0af7651916cd43dd8448eb211c80319c"
	publishersSpan  = "b7ad6b7169203331"
	traceparent     = "00-" + publishersTrace + "-" + publishersSpan + "-01"
	tracestate      = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
)

func exampleTracing(t *testing.T, document string) {
	traces := &tracesOf{spans: map[string][]*tracepb.Span{}}
	web := httptest.NewServer(traces)
	t.Cleanup(web.Close) // after the pipeline has sent its last
	r := newExampleRig(t, "mqtt_messages")
	require.Equal(t, 1, strings.Count(document, "localhost:4318"))
	r.start(strings.Replace(document, "localhost:4318", web.Listener.Addr().String(), 1))
	r.subscribed("sensors/#")
	r.publish5("sensors/1", "traced", "site", "north", "traceparent", traceparent, "tracestate", tracestate)
	r.publish5("sensors/1", "not traced", "traceparent", "no trace context")

	records := r.records("mqtt_messages", 2)
	assert.Equal(t, traceparent, header(records[0], "traceparent"))
	assert.Equal(t, tracestate, header(records[0], "tracestate"))
	assert.Len(t, records[0].Headers, 2, "the other user properties are in the envelope alone")
	assert.Equal(t, "no trace context", header(records[1], "traceparent"), "what comes is not judged")

	// The spans of the bridge belong to the publisher's trace, whatever the part that is
	// traced without one.
	require.Eventually(t, func() bool { return len(traces.get(publishersTrace)) >= 2 }, exampleTimeout, 50*time.Millisecond)
	byID := map[string]*tracepb.Span{}
	for _, span := range traces.get(publishersTrace) {
		byID[hex.EncodeToString(span.GetSpanId())] = span
		assert.Equal(t, tracestate, span.GetTraceState())
	}
	roots := 0
	for _, span := range byID {
		if parent := hex.EncodeToString(span.GetParentSpanId()); parent == publishersSpan {
			roots++
		} else {
			assert.Contains(t, byID, parent)
		}
	}
	assert.Equal(t, 1, roots)
}
