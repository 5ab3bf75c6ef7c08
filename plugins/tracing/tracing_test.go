package tracing

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

func provider(yaml string) (*sdktrace.TracerProvider, error) {
	conf, err := Spec().ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	return newProvider(conf)
}

// received is a collector that keeps what it gets.
type received struct {
	collector.UnimplementedTraceServiceServer
	requests chan *collector.ExportTraceServiceRequest
}

func newReceived() *received {
	return &received{requests: make(chan *collector.ExportTraceServiceRequest, 10)}
}

func (r *received) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.requests <- request
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var request collector.ExportTraceServiceRequest
	body, err := io.ReadAll(req.Body)
	if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.requests <- &request
}

func TestSpansReachCollectorsByBothProtocols(t *testing.T) {
	byHTTP, byGRPC := newReceived(), newReceived()
	web := httptest.NewServer(byHTTP)
	defer web.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, byGRPC)
	go func() { _ = server.Serve(ln) }() // Stop ends it
	defer server.Stop()

	p, err := provider(`{ service: bridge, tags: { site: north }, http: [ { address: "` + web.Listener.Addr().String() + `" } ], grpc: [ { address: "` + ln.Addr().String() + `" } ] }`)
	require.NoError(t, err)
	_, span := p.Tracer("test").Start(t.Context(), "the work")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.Shutdown(ctx), "the engine does so when it ends")
	for name, r := range map[string]*received{"http": byHTTP, "grpc": byGRPC} {
		require.Len(t, r.requests, 1, name)
		spans := (<-r.requests).GetResourceSpans()
		require.Len(t, spans, 1, name)
		attributes := map[string]string{}
		for _, a := range spans[0].GetResource().GetAttributes() {
			attributes[a.GetKey()] = a.GetValue().GetStringValue()
		}
		assert.Equal(t, "bridge", attributes["service.name"], name)
		assert.Equal(t, "north", attributes["site"], name)
		assert.Contains(t, attributes, "service.version", name)
		assert.Equal(t, "the work", spans[0].GetScopeSpans()[0].GetSpans()[0].GetName(), name)
	}
}

// Upstream's default is to trace all.
func TestSamplingFollowsThePublisher(t *testing.T) {
	parent := func(flags trace.TraceFlags) context.Context {
		return trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags, Remote: true,
		}))
	}
	for yaml, alone := range map[string]bool{
		`{}`: true, `sampling: { enabled: false, ratio: 0 }`: true,
		`sampling: { enabled: true, ratio: 0 }`: false, `sampling: { enabled: true, ratio: 1 }`: true,
	} {
		p, err := provider(yaml)
		require.NoError(t, err, yaml)
		sampled := func(ctx context.Context) bool {
			_, span := p.Tracer("test").Start(ctx, "x")
			return span.SpanContext().IsSampled()
		}
		assert.Equal(t, alone, sampled(t.Context()), yaml)
		assert.True(t, sampled(parent(trace.FlagsSampled)), yaml)
		assert.False(t, sampled(parent(0)), yaml)
	}
}

func TestFaultsOfTheConfigurationNameTheField(t *testing.T) {
	for yaml, want := range map[string]string{
		`http: [ { address: collector } ]`:                      `field http.0.address: "collector" is not host:port: write for example collector:4318`,
		`grpc: [ { address: "a:1" }, { address: "http://x" } ]`: `field grpc.1.address: "http://x" is not host:port`,
		`sampling: { enabled: true }`:                           "field sampling.ratio: missing: give the part",
		`sampling: { enabled: true, ratio: 10 }`:                "field sampling.ratio: 10 is not from 0 to 1",
	} {
		_, err := provider(yaml)
		require.Error(t, err, yaml)
		assert.True(t, strings.HasPrefix(err.Error(), want), "%s: %v", yaml, err)
	}
}
