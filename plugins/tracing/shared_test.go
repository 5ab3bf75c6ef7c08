package tracing

import (
	"net/http/httptest"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/pure" // generate and drop
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestACollectorIsReadFromItsURL(t *testing.T) {
	for text, want := range map[string]Collector{
		"http://h:4318":        {Address: "h:4318"},
		"https://h:4318/":      {Address: "h:4318", Secure: true},
		"grpc://127.0.0.1:1":   {Address: "127.0.0.1:1", GRPC: true},
		"GRPCS://[::1]:4317":   {Address: "[::1]:4317", GRPC: true, Secure: true},
		"http://otel.x.y:4318": {Address: "otel.x.y:4318"},
	} {
		got, err := ParseCollector(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "h:4318", "http://h", "http://:4318", "http://h:70000", "http://u:p@h:4318", "http://h:4318/v1/traces", "http://h:4318?a=b",
		"http://h:4318#a", "tcp://h:4318", "http://h:4318\n",
	} {
		_, err := ParseCollector(text)
		assert.Error(t, err, text)
	}
}

func TestAPartIsFromZeroToOne(t *testing.T) {
	for _, ratio := range []float64{-0.1, 1.1} {
		_, err := NewShared(Collector{Address: "h:1"}, ratio, "v1")
		assert.ErrorContains(t, err, "is not from 0 to 1")
	}
}

func TestNothingIsTracedWithoutACollector(t *testing.T) {
	var none *Shared
	require.NoError(t, none.Register(service.NewEnvironment()))
	require.NoError(t, none.Use(service.NewStreamBuilder(), "c"))
	require.NoError(t, none.Close(t.Context()))
}

// A stream that ends ends no spans of others, and a connector's name is a text, whatever
// is in it.
func TestStreamsShareACollectorAndNameTheirConnectors(t *testing.T) {
	r := newReceived()
	web := httptest.NewServer(r)
	defer web.Close()
	s, err := NewShared(Collector{Address: web.Listener.Addr().String()}, 1, "v1")
	require.NoError(t, err)
	env := service.NewEnvironment()
	require.NoError(t, s.Register(env))
	names := []string{"first", "${HOME} \"a\": [\u202e", "ü: {"}
	for _, name := range names {
		b := env.NewStreamBuilder()
		b.DisableLinting()
		require.NoError(t, b.SetYAML("http: { enabled: false }\nlogger: { level: none }\ninput: { generate: { count: 1, mapping: root = 1 } }\noutput: { drop: {} }"))
		require.NoError(t, s.Use(b, name))
		stream, err := b.Build()
		require.NoError(t, err)
		require.NoError(t, stream.Run(t.Context()))
	}
	require.NoError(t, s.Close(t.Context()))
	close(r.requests)
	spans := map[string]int{}
	for request := range r.requests {
		for _, resource := range request.GetResourceSpans() {
			for _, span := range resource.GetScopeSpans() {
				for _, one := range span.GetSpans() {
					for _, a := range one.GetAttributes() {
						if a.GetKey() == "connector" {
							spans[a.GetValue().GetStringValue()]++
						}
					}
				}
			}
		}
	}
	for _, name := range names {
		assert.Positive(t, spans[name], "%q of %v", name, spans)
	}
	assert.Len(t, spans, len(names))
}
