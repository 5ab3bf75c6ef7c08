package mqtt

import (
	"context"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/trace"
)

func TestAMessageBelongsToTheTraceOfItsPublisher(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	given := []message{
		{properties: &properties{user: []userProperty{{"site", "north"}, {"tracestate", "a=1"}, {"traceparent", parent}, {"traceparent", "another"}}}},
		{properties: &properties{user: []userProperty{{"traceparent", "no trace context"}}}},
		{properties: &properties{contentType: "x"}},
		{},
	}
	for i := range given {
		given[i].topic = &topic{name: "a", boxed: "a"}
	}
	for _, traced := range []bool{true, false} {
		for i, msg := range batchOf(given, traced) {
			span := trace.SpanContextFromContext(msg.Context())
			assert.Equal(t, traced && i == 0, span.IsValid(), "message %d", i)
			if span.IsValid() {
				assert.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.TraceID().String())
				assert.Equal(t, "b7ad6b7169203331", span.SpanID().String())
				assert.Equal(t, "a=1", span.TraceState().String())
				assert.True(t, span.IsRemote())
			}
			// The engine's context is still that of the message, which is known by it again.
			assert.Same(t, &given[i], msg.Context().Value(messageKey{}))
		}
	}
}

func TestTheTraceIsNotLookedForWithoutATracer(t *testing.T) {
	assert.False(t, isTraced(service.MockResources()))
}

func TestUserPropertiesAreACarrierThatIsOnlyRead(t *testing.T) {
	u := userProperties{{"a", "1"}, {"a", "2"}}
	u.Set("a", "3")
	assert.Equal(t, "1", u.Get("a"))
	assert.Empty(t, u.Get("b"))
	assert.Equal(t, []string{"a", "a"}, u.Keys())
	var none *properties
	assert.Equal(t, t.Context(), none.withTrace(t.Context()))
	assert.Equal(t, context.Background(), (&properties{}).withTrace(context.Background()))
}
