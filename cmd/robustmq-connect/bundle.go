package main

// The upstream components that this distribution includes, one by one. Nothing under
// the Redpanda Community License is imported here; what upstream compiles in through
// these packages is listed in resources/docs/fields.md and checked by
// TestLicencesOfCompiledPackages.
import (
	// Processors, buffers, caches (memory, lru, ttlru, multilevel), broker, switch,
	// fallback, generate, drop: the basis of every pipeline.
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	_ "github.com/redpanda-data/connect/v4/public/components/pure/extended"

	// stdin, stdout, file, http_server, http_client, websocket and socket, for
	// trying a pipeline by hand and for enriching messages over HTTP.
	_ "github.com/redpanda-data/connect/v4/public/components/io"

	// The Kafka inputs. The kafka_franz output is replaced by ours.
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"

	// The default metrics exporter, at /metrics.
	_ "github.com/redpanda-data/connect/v4/public/components/prometheus"

	// schema_registry_encode and schema_registry_decode: Kafka consumers that
	// expect Avro, Protobuf or JSON Schema.
	_ "github.com/redpanda-data/connect/v4/public/components/confluent"

	// The avro processor, for Avro without a registry.
	_ "github.com/redpanda-data/connect/v4/public/components/avro"

	// A cache shared by several instances, for dedupe and look-ups.
	_ "github.com/redpanda-data/connect/v4/public/components/redis"
)
