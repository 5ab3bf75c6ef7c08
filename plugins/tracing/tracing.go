// Package tracing registers the tracer open_telemetry_collector. Upstream has one of that
// name under a licence that this distribution does not ship; this one takes the same
// fields, but the deprecated url. For a service, Shared gives many pipelines one
// connection to a collector (shared.go).
package tracing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	name = "open_telemetry_collector"

	fieldService  = "service"
	fieldHTTP     = "http"
	fieldGRPC     = "grpc"
	fieldAddress  = "address"
	fieldSecure   = "secure"
	fieldTags     = "tags"
	fieldSampling = "sampling"
	fieldEnabled  = "enabled"
	fieldRatio    = "ratio"
)

// Spec is what the tracer takes.
func Spec() *service.ConfigSpec {
	collectors := func(field, protocol, address string) *service.ConfigField {
		return service.NewObjectListField(
			field,
			service.NewStringField(fieldAddress).Default(address).
				Description("The `host:port` of the collector."),
			service.NewBoolField(fieldSecure).Default(false).
				Description("Connects by TLS, and trusts the authorities of the machine."),
		).Default([]any{}).Description("Collectors that take OTLP by " + protocol + ".")
	}
	return service.NewConfigSpec().
		Summary("Sends spans of the pipeline to OpenTelemetry collectors.").
		Fields(
			service.NewStringField(fieldService).Default("robustmq-connect").Description("The name of the service in traces."),
			collectors(fieldHTTP, "HTTP", "localhost:4318"),
			collectors(fieldGRPC, "gRPC", "localhost:4317"),
			service.NewStringMapField(fieldTags).Default(map[string]any{}).Advanced().
				Description("Attributes that every span has, for example `deployment.environment`."),
			service.NewObjectField(
				fieldSampling,
				service.NewBoolField(fieldEnabled).Default(false).Description("Traces a part of the messages instead of all."),
				service.NewFloatField(fieldRatio).Optional().Example(0.01).
					Description("The part of the messages that is traced, from 0 to 1. It is needed where sampling is enabled."),
			).Description("Which messages are traced. Spans cost CPU for each message: trace a part of them under load."),
		)
}

// Register adds the tracer to the environment.
func Register(env *service.Environment) error {
	return env.RegisterOtelTracerProvider(name, Spec(), func(conf *service.ParsedConfig) (trace.TracerProvider, error) {
		return newProvider(conf)
	})
}

func newProvider(conf *service.ParsedConfig) (*sdktrace.TracerProvider, error) {
	ratio, err := ratioOf(conf)
	if err != nil {
		return nil, err
	}
	attributes, err := attributesOf(conf)
	if err != nil {
		return nil, err
	}
	var collectors []Collector
	for _, field := range []string{fieldHTTP, fieldGRPC} {
		list, err := conf.FieldObjectList(field)
		if err != nil {
			return nil, err
		}
		for i, c := range list {
			to := Collector{GRPC: field == fieldGRPC}
			if to.Address, err = c.FieldString(fieldAddress); err != nil {
				return nil, err
			}
			if to.Secure, err = c.FieldBool(fieldSecure); err != nil {
				return nil, err
			}
			if !isHostPort(to.Address) {
				return nil, fmt.Errorf("field %s.%d.%s: %q is not host:port: write for example collector:4318", field, i, fieldAddress, to.Address)
			}
			collectors = append(collectors, to)
		}
	}
	return provide(collectors, ratio, attributes)
}

// provide returns a provider that sends spans to the collectors. ratio is the part of the
// messages that is traced, of those that belong to no trace yet.
func provide(collectors []Collector, ratio float64, attributes []attribute.KeyValue) (*sdktrace.TracerProvider, error) {
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))),
		sdktrace.WithResource(resource.NewSchemaless(attributes...)),
	}
	for _, c := range collectors {
		client := httpClient
		if c.GRPC {
			client = grpcClient
		}
		// It connects when there is something to send. A collector that is away costs
		// spans and holds nothing up.
		exporter, err := otlptrace.New(context.Background(), client(c.Address, c.Secure))
		if err != nil {
			return nil, fmt.Errorf("sending spans to %s: %w", c.Address, err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	return sdktrace.NewTracerProvider(options...), nil
}

func isHostPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// ratioOf is the part of the messages that is traced. A message that belongs to a trace
// does as its publisher does.
func ratioOf(conf *service.ParsedConfig) (float64, error) {
	enabled, err := conf.FieldBool(fieldSampling, fieldEnabled)
	if err != nil || !enabled {
		return 1, err
	}
	if !conf.Contains(fieldSampling, fieldRatio) {
		return 0, errors.New("field sampling.ratio: missing: give the part of the messages that is traced, for example 0.01")
	}
	ratio, err := conf.FieldFloat(fieldSampling, fieldRatio)
	if err == nil && !isRatio(ratio) {
		err = fmt.Errorf("field sampling.ratio: %v is not from 0 to 1: 0.01 traces one message of a hundred", ratio)
	}
	return ratio, err
}

func isRatio(ratio float64) bool { return ratio >= 0 && ratio <= 1 }

func attributesOf(conf *service.ParsedConfig) ([]attribute.KeyValue, error) {
	service, err := conf.FieldString(fieldService)
	if err != nil {
		return nil, err
	}
	tags, err := conf.FieldStringMap(fieldTags)
	if err != nil {
		return nil, err
	}
	attributes := make([]attribute.KeyValue, 0, len(tags)+2)
	for key, value := range tags {
		attributes = append(attributes, attribute.String(key, value))
	}
	return append(attributes,
		attribute.String("service.name", cmp.Or(tags["service.name"], service)),
		attribute.String("service.version", cmp.Or(tags["service.version"], conf.EngineVersion())),
	), nil
}

func httpClient(address string, secure bool) otlptrace.Client {
	options := []otlptracehttp.Option{otlptracehttp.WithEndpoint(address)}
	if !secure {
		options = append(options, otlptracehttp.WithInsecure())
	}
	return otlptracehttp.NewClient(options...)
}

func grpcClient(address string, secure bool) otlptrace.Client {
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(address)}
	if !secure {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	return otlptracegrpc.NewClient(options...)
}
