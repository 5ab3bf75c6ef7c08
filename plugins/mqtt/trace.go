package mqtt

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace/noop"
)

// isTraced tells whether the pipeline has a tracer. Without one, the trace of a message is
// not looked for.
func isTraced(mgr *service.Resources) bool {
	_, none := mgr.OtelTracer().(noop.TracerProvider)
	return !none
}

// withTrace is a context whose spans belong to the trace that the publisher names in the
// user properties traceparent and tracestate. What is no trace context is ignored, as W3C
// wants it.
func (p *properties) withTrace(ctx context.Context) context.Context {
	if p == nil || len(p.user) == 0 {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, userProperties(p.user))
}

// userProperties are what a publisher hands on.
type userProperties []userProperty

var _ propagation.TextMapCarrier = userProperties(nil)

// Get implements propagation.TextMapCarrier. Of several the first counts.
func (u userProperties) Get(key string) string {
	for _, p := range u {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

// Set implements propagation.TextMapCarrier: what came is not changed.
func (userProperties) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (u userProperties) Keys() (keys []string) {
	for _, p := range u {
		keys = append(keys, p.key)
	}
	return keys
}
