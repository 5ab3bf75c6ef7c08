// Package kafka is the output kafka_franz. It replaces the stock output of that name.
// It also keeps the order of records when errors occur, names the record in its errors,
// and writes batches without waiting for a timer.
//
// The engine's writer calls WriteBatch, one batch at a time with max_in_flight 1, and
// Connect after ErrNotConnected (output.go, connect.go). Each batch has a goroutine
// that writes it part by part (delivery.go). That goroutine continues after a call of
// WriteBatch stops waiting, and the next call with the same batch joins it (hold.go). A
// producer is one client of Kafka; its promises run in the client's goroutines, and
// pings and topic limits in goroutines that its close waits for (producer.go,
// liveness.go, topics.go). The delivery handles refused records: it applies the failure
// strategy (refused.go, deadletter.go).
//
// WriteBatch returns nil when every record is in Kafka, discarded or dead-lettered.
// Only then does the engine acknowledge the batch to its input.
package kafka

import (
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/redpanda-data/benthos/v4/public/utils/netutil"

	"github.com/robustmq/robustmq-connect/plugins/constraint"
	"github.com/robustmq/robustmq-connect/plugins/envelope"
)

const (
	fieldSeedBrokers            = "seed_brokers"
	fieldClientID               = "client_id"
	fieldTLS                    = "tls"
	fieldMetadataMaxAge         = "metadata_max_age"
	fieldRequestTimeoutOverhead = "request_timeout_overhead"
	fieldConnIdleTimeout        = "conn_idle_timeout"
	fieldMaxKafkaVersion        = "max_kafka_version"
	fieldTCP                    = "tcp"

	fieldTopic       = "topic"
	fieldKey         = "key"
	fieldPartition   = "partition"
	fieldMetadata    = "metadata"
	fieldTimestamp   = "timestamp"
	fieldTimestampMs = "timestamp_ms"
	fieldEnvelope    = "envelope"
	fieldEnabled     = "enabled"

	fieldMaxInFlight     = "max_in_flight"
	fieldBatching        = "batching"
	fieldRackID          = "rack_id"
	fieldLinger          = "linger"
	fieldFailureStrategy = "failure_strategy"
	fieldMetricTopics    = "metric_topics"

	fieldPartitioner            = "partitioner"
	fieldIdempotentWrite        = "idempotent_write"
	fieldAcks                   = "acks"
	fieldCompression            = "compression"
	fieldAllowAutoTopicCreation = "allow_auto_topic_creation"
	fieldTimeout                = "timeout"
	fieldMaxMessageBytes        = "max_message_bytes"
	fieldBrokerWriteMaxBytes    = "broker_write_max_bytes"
	fieldMaxBufferedRecords     = "max_buffered_records"
	fieldMaxBufferedBytes       = "max_buffered_bytes"
	fieldMaxInFlightRequests    = "max_in_flight_requests"
	fieldRecordRetries          = "record_retries"
	fieldRecordDeliveryTimeout  = "record_delivery_timeout"
)

// Messages shared by lint and the constructor.
const (
	shortDelivery = "record_delivery_timeout: %s is out of range; must be 0s for no limit, or at least 1s"
	smallWrite    = "broker_write_max_bytes: %d bytes cannot hold a record batch of max_message_bytes, %d; raise broker_write_max_bytes or lower max_message_bytes"
	ownDeadTopic  = "failure_strategy.topic_name: %q is the topic that the output writes to; name another"
)

// Constraints are the rules that involve several fields.
var Constraints = constraint.New(append(envelope.FormatConstraints(fieldEnvelope),
	constraint.Constraint{
		Field: fieldPartitioner, Broken: `this.partitioner.or("") == "manual" && this.partition.or("") == ""`,
		What: "manual needs the field partition, the partition of each record",
	},
	constraint.Constraint{
		Field: fieldPartition, Broken: `this.partitioner.or("") != "manual" && this.partition.or("") != ""`,
		What: "needs partitioner: manual; add it, or remove partition",
	},
	constraint.Constraint{
		Field: fieldTimestamp, Broken: `this.timestamp.or("") != "" && this.timestamp_ms.or("") != ""`,
		What: "conflicts with timestamp_ms; remove one of them",
	},
	constraint.Constraint{
		Field: fieldAcks, Broken: `this.idempotent_write.or(true) == true && this.acks.or("all") != "all"`,
		What: "must be all with idempotent_write; set idempotent_write: false for other values",
	},
	constraint.Constraint{
		Field: fieldMaxInFlightRequests, Broken: `this.idempotent_write.or(true) == true && this.max_in_flight_requests.or(1) != 1`,
		What: "must be 1 with idempotent_write; set idempotent_write: false for higher values",
	},
	constraint.Constraint{
		Field: fieldMaxInFlight, Broken: `this.failure_strategy.or("") != "" && this.max_in_flight.or(1) != 1`,
		What: "must be 1 with failure_strategy: a batch that is held must hold every later one",
	},
)...)

// Spec describes the output kafka_franz and its fields.
func Spec() *service.ConfigSpec {
	spec := service.NewConfigSpec().
		Stable().
		Categories("Services").
		Summary("Writes messages to Kafka in order, and waits until Kafka has acknowledged them.").
		Description(`
All messages of a batch are given to the producer at once and written without waiting for a timer. The batch is acknowledged once Kafka has acknowledged every record of it.

Transient errors (a broker restarts, a leader moves, too few replicas are in sync) are retried without limit inside the producer, so that they never change the order of records. ` + "`failure_strategy`" + ` decides what happens after permanent errors.

When Kafka acknowledges nothing of a batch for 5 seconds, or for 1 second if it refuses the connection, the output logs a warning and sets the gauge ` + "`kafka_output_blocked`" + `. It keeps the batch and is not ready; at most 5 seconds later it reports the reason. It continues by itself. With ` + "`max_in_flight`" + ` above 1 it stays ready. Warnings of the Kafka client are logged; the same warning is logged again after 1 minute, and then at growing intervals.

Every field of the stock output of this name has the same meaning here. One default differs: ` + "`max_in_flight`" + ` is 1.`).
		LintRule(Constraints.LintRule())
	for _, group := range [][]*service.ConfigField{
		connectionFields(" The largest record batch that a topic takes (`max.message.bytes`) is also read again at that age, in the background."),
		recordFields(), deliveryFields(), producerFields(),
	} {
		spec = spec.Fields(group...)
	}
	return spec
}

// connectionFields are the fields of every component; whatElse completes the description
// of metadata_max_age.
func connectionFields(whatElse string) []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringListField(fieldSeedBrokers).
			Description("The addresses of brokers to connect to first, as `host:port`. The others of the cluster are learned from them. An item with commas counts as several addresses.").
			Examples([]string{"localhost:9092"}, []string{"foo:9092", "bar:9092"}, []string{"foo:9092,bar:9092"}),
		service.NewStringField(fieldClientID).
			Description("The name of this client in the logs and quotas of the brokers.").
			Default("redpanda-connect").Advanced(),
		service.NewTLSToggledField(fieldTLS),
		saslField(),
		service.NewDurationField(fieldMetadataMaxAge).
			Description("The age at which the metadata of topics and leaders is fetched again even without a fault." + whatElse).
			Default("1m").Advanced(),
		service.NewDurationField(fieldRequestTimeoutOverhead).
			Description("The time that a request may take in addition to the timeout that it carries for the broker.").
			Default("10s").Advanced(),
		service.NewDurationField(fieldConnIdleTimeout).
			Description("The time after which an unused connection is closed, roughly.").
			Default("20s").Advanced(),
		service.NewStringField(fieldMaxKafkaVersion).
			Description("The newest version of Kafka whose requests are sent, such as `3.8`. Set it for a broker that does not answer newer ones, as the Kafka listener of RobustMQ. By default the client asks each broker what it knows.").
			Optional().Advanced(),
		netutil.DialerConfigSpec(),
	}
}

func recordFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewInterpolatedStringField(fieldTopic).
			Description("The topic that messages are written to. A constant, or a plain look-up such as `${! @kafka_topic }`, is fastest."),
		service.NewInterpolatedStringField(fieldKey).
			Description("The key of each record. Records of one key go to one partition, which keeps their order.").
			Example(`${! @kafka_key }`).Optional(),
		service.NewInterpolatedStringField(fieldPartition).
			Description("The partition of each record, a number. It needs `partitioner: manual`.").
			Example(`${! meta("partition") }`).Optional(),
		service.NewMetadataFilterField(fieldMetadata).
			Description("Which metadata of a message becomes headers of its record. Default: none.").
			Optional(),
		service.NewInterpolatedStringField(fieldTimestamp).
			Description("The timestamp of each record, in Unix seconds. Default: the time of writing.").
			Examples(`${! timestamp_unix() }`, `${! metadata("kafka_timestamp_unix") }`).
			Optional().Advanced().Deprecated(),
		service.NewInterpolatedStringField(fieldTimestampMs).
			Description("The timestamp of each record, in Unix milliseconds. Default: the time of writing.").
			Examples(`${! timestamp_unix_milli() }`, `${! metadata("kafka_timestamp_ms") }`).
			Optional().Advanced(),
		service.NewObjectField(fieldEnvelope, append([]*service.ConfigField{
			service.NewBoolField(fieldEnabled).Default(false).
				Description("Whether each message is written as an envelope. Otherwise its content is the value of its record."),
			envelope.FormatField("Default: `robustmq_json`."),
		}, envelope.EncoderFields()...)...).
			Description("Writes each message as a RobustMQ envelope, as `robustmq_envelope` with `operator: encode` does, but at less than half of the CPU: without a copy of the message, and with `topic` and `key` evaluated on the message itself. The envelope's `key` is that of the record. A message on which a processor has failed is refused, and so is one that does not fit into an envelope.").
			Advanced(),
	}
}

func deliveryFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewIntField(fieldMaxInFlight).
			Description("The number of batches written at the same time. With 1, batches reach Kafka in their order, and the next batch grows while the last is being acknowledged. With more, a batch may overtake another.").
			Default(1),
		service.NewBatchPolicyField(fieldBatching),
		service.NewDurationField(fieldLinger).
			Description("How long a batch waits before it is written, while its input gathers the next one, so that Kafka gets fewer and larger record batches. A batch that fills a record batch does not wait.").
			Default("0s").Advanced(),
		strategyField(),
		service.NewIntField(fieldMetricTopics).
			Description("The number of topics that the metric `kafka_output_records_failed` tells apart by its label `topic`. The first topics with a refused record get a label of their own. The others, and illegal names, count as `other`.").
			Default(100).Advanced(),
		service.NewStringField(fieldRackID).Description("Ignored.").Deprecated(),
	}
}

func producerFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringAnnotatedEnumField(fieldPartitioner, map[string]string{
			"murmur2_hash": "The hash of the key, as Kafka's own clients compute it. Records without a key stay on one partition for a batch.",
			"round_robin":  "Each record goes to the next partition. Spreads evenly, and costs the brokers most.",
			"least_backup": "The partition with the fewest records waiting, for a batch at a time.",
			"manual":       "The partition in the field `partition`.",
		}).
			Description("How the partition of a record is chosen. Default: `murmur2_hash`.").
			Advanced().Optional(),
		service.NewBoolField(fieldIdempotentWrite).
			Description("Lets brokers recognise a record that is sent again, so that retries neither repeat nor reorder. Clusters older than Kafka 3.0 need the permission IDEMPOTENT_WRITE on the cluster for it. With `false`, a retry may repeat records.").
			Default(true).Advanced(),
		service.NewStringAnnotatedEnumField(fieldAcks, map[string]string{
			"all":    "All replicas in sync have the record. Needed for `idempotent_write`.",
			"leader": "The leader has the record. It is lost if the leader fails before a replica has it.",
			"none":   "No broker acknowledges. Records may be lost, and a refusal is not noticed.",
		}).
			Description("Which acknowledgement to wait for.").
			Default("all").Advanced(),
		service.NewStringEnumField(fieldCompression, "lz4", "snappy", "gzip", "none", "zstd").
			Description("How records are compressed. Default: snappy, if the broker supports it.").
			Optional().Advanced(),
		service.NewBoolField(fieldAllowAutoTopicCreation).
			Description("Asks brokers to create topics that do not exist. They do so if `auto.create.topics.enable` is set.").
			Default(true).Advanced(),
		service.NewDurationField(fieldTimeout).
			Description("How long a broker may wait for its replicas before it gives up a request, which is then sent again.").
			Default("10s").Advanced(),
		service.NewStringField(fieldMaxMessageBytes).
			Description("The size of the largest record batch, before compression. A record larger than that is refused without being sent. If the topic's `max.message.bytes` is smaller, and may be read, record batches respect it.").
			Default("1MiB").Examples("100MB", "50mib").Advanced(),
		service.NewStringField(fieldBrokerWriteMaxBytes).
			Description("The size of the largest request. It must not exceed the broker's `socket.request.max.bytes`.").
			Default("100MiB").Examples("128MB", "50mib").Advanced(),
		service.NewIntField(fieldMaxBufferedRecords).
			Description("The number of records that the producer holds at most. A larger batch is written in parts.").
			Default(10000).Advanced(),
		service.NewStringField(fieldMaxBufferedBytes).
			Description("The bytes of records that the producer holds at most. A larger batch is written in parts. 0 sets no limit.").
			Default("0").Examples("256MB", "50mib").Advanced(),
		service.NewIntField(fieldMaxInFlightRequests).
			Description("The number of produce requests on the way to a broker. With `idempotent_write` it must be 1; with more, retries may reorder and repeat records.").
			Default(1).Advanced(),
		service.NewIntField(fieldRecordRetries).
			Description("How often a record is sent again until it counts as refused. 0 sets no limit.").
			Default(0).Advanced(),
		service.NewDurationField(fieldRecordDeliveryTimeout).
			Description("How long a record may take until it counts as refused, much as `delivery.timeout.ms`. 0s sets no limit.").
			Default("0s").Advanced(),
	}
}
