package main

// The upstream components that this distribution ships, one by one. Nothing
// under the Redpanda Community License is imported here; what upstream compiles
// in through these packages is listed in the README and held by
// TestLicencesOfCompiledPackages.
import (
	"errors"

	"github.com/redpanda-data/benthos/v4/public/service"

	// Processors, buffers, caches (memory, lru, ttlru, multilevel), broker,
	// switch, fallback, generate, drop: what every pipeline is built of.
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	_ "github.com/redpanda-data/connect/v4/public/components/pure/extended"

	// stdin, stdout, file, http_server, http_client, websocket and socket, for
	// trying a pipeline by hand and for enriching messages over HTTP.
	_ "github.com/redpanda-data/connect/v4/public/components/io"

	// kafka_franz, the Kafka side of robustmq_kafka.
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"

	// mqtt, the MQTT side of robustmq_kafka.
	_ "github.com/redpanda-data/connect/v4/public/components/mqtt"

	// The default metrics exporter, at /metrics.
	_ "github.com/redpanda-data/connect/v4/public/components/prometheus"

	// schema_registry_encode and schema_registry_decode: Kafka consumers that
	// expect Avro, Protobuf or JSON Schema.
	_ "github.com/redpanda-data/connect/v4/public/components/confluent"

	// The avro processor, for Avro without a registry.
	_ "github.com/redpanda-data/connect/v4/public/components/avro"

	// A cache shared by several instances, for dedupe and look-ups.
	_ "github.com/redpanda-data/connect/v4/public/components/redis"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/templates"
)

// registerComponents adds our own components to an environment that has
// upstream's.
func registerComponents(env *service.Environment) error {
	return errors.Join(
		envelope.Register(env),
		templates.Register(env),
	)
}
