package tracing

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Collector takes spans by OTLP.
type Collector struct {
	Address string // host:port
	Secure  bool   // by TLS, with the authorities of the machine
	GRPC    bool   // otherwise by HTTP
}

// ParseCollector reads a collector's URL: http://host:port, https, grpc or grpcs.
func ParseCollector(text string) (Collector, error) {
	u, err := url.Parse(text)
	if err != nil || !isHostPort(u.Host) || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return Collector{}, fmt.Errorf("%q is not the URL of a collector: write for example http://collector:4318 or grpc://collector:4317", text)
	}
	c := Collector{Address: u.Host}
	switch u.Scheme {
	case "http":
	case "https":
		c.Secure = true
	case "grpc":
		c.GRPC = true
	case "grpcs":
		c.GRPC, c.Secure = true, true
	default:
		return Collector{}, fmt.Errorf("%q has the scheme %q; must be http, https, grpc or grpcs", text, u.Scheme)
	}
	return c, nil
}

// Shared sends the spans of many pipelines to one collector. A nil Shared traces nothing.
type Shared struct{ provider *sdktrace.TracerProvider }

// NewShared returns a Shared that traces a part of the messages, from 0 to 1, and those
// whose publishers trace them. It connects when there is something to send.
func NewShared(c Collector, ratio float64, version string) (*Shared, error) {
	if !isRatio(ratio) {
		return nil, fmt.Errorf("%v is not from 0 to 1: 0.01 traces one message of a hundred", ratio)
	}
	provider, err := provide([]Collector{c}, ratio, []attribute.KeyValue{
		attribute.String("service.name", "robustmq-connect"), attribute.String("service.version", version),
	})
	if err != nil {
		return nil, err
	}
	return &Shared{provider}, nil
}

// Close sends the spans that are left, until the context ends.
func (s *Shared) Close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	return s.provider.Shutdown(ctx)
}

const (
	sharedName     = "robustmq_connect_shared"
	fieldConnector = "connector"
)

// Register adds the tracer to an environment. A stream of it uses the tracer if it is
// built with Use.
func (s *Shared) Register(env *service.Environment) error {
	if s == nil {
		return nil
	}
	spec := service.NewConfigSpec().Field(service.NewStringField(fieldConnector))
	return env.RegisterOtelTracerProvider(sharedName, spec, func(conf *service.ParsedConfig) (trace.TracerProvider, error) {
		name, err := conf.FieldString(fieldConnector)
		return ofConnector{s.provider, attribute.String(fieldConnector, name)}, err
	})
}

// Use lets a stream trace for a connector: its spans have the attribute connector.
func (s *Shared) Use(b *service.StreamBuilder, connector string) error {
	if s == nil {
		return nil
	}
	// A dollar sign would begin a reference to an environment variable.
	text := strings.ReplaceAll(strconv.Quote(connector), "$", `\u0024`)
	return b.SetTracerYAML(fmt.Sprintf("%s: { %s: %s }", sharedName, fieldConnector, text))
}

// ofConnector is the provider of one stream. It has no Shutdown, which the engine would
// call at the end of the stream.
type ofConnector struct {
	trace.TracerProvider
	name attribute.KeyValue
}

func (p ofConnector) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return tracerOfConnector{p.TracerProvider.Tracer(name, options...), p.name}
}

type tracerOfConnector struct {
	trace.Tracer
	name attribute.KeyValue
}

func (t tracerOfConnector) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.Tracer.Start(ctx, name, append(options, trace.WithAttributes(t.name))...)
}
