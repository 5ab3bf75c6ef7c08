package mqtt

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

const (
	fieldTopic                = "topic"
	fieldWriteTimeout         = "write_timeout"
	fieldRetained             = "retained"
	fieldRetainedInterpolated = "retained_interpolated"
	fieldMaxInFlight          = "max_in_flight"

	fieldQoSInterpolated      = "qos_interpolated"
	fieldMaxInFlightPublishes = "max_in_flight_publishes"
	fieldPublishProperties    = "publish_properties"
	fieldMetadata             = "metadata"
	fieldAckTimeout           = "ack_timeout"
	fieldBatching             = "batching"
	fieldFailureStrategy      = "failure_strategy"
	fieldDeadLetterKafka      = "dead_letter_kafka"
)

// OutputSpec describes the output mqtt and its fields.
func OutputSpec() *service.ConfigSpec {
	spec := service.NewConfigSpec().
		Stable().
		Categories("Services").
		Summary("Publishes messages to an MQTT broker, in order, and acknowledges a batch once the broker has acknowledged all of it.").
		Description(`
A whole batch is written at once, with as many messages of QoS 1 and 2 in flight as the broker allows. The batch is acknowledged to its input when the broker has acknowledged each message: by PUBACK at QoS 1, by PUBREC and PUBCOMP at QoS 2. At QoS 0 there is no acknowledgement: a message counts as published once the operating system has taken it, and is lost if the connection ends at that time.

When the connection is lost, what is not acknowledged is published again on the next one, in order. At QoS 1 messages may then arrive twice. At QoS 2 each arrives once, as long as this process runs and the broker keeps the session, for which ` + "`clean_session: false`" + ` and a ` + "`client_id`" + ` are needed. A process that starts always begins a new session, because the broker would mistake new messages for those of the old one. What the old process had not seen acknowledged comes from the input again, so that it may arrive twice.

A message that the broker refuses, or would refuse, fails alone: because of its topic, its size, its QoS, its retain flag, a reason code of MQTT 5, or because the broker ends each connection when it gets it. The other messages of the batch are published, in their order.

== Metadata

Under MQTT 5 a message is published with the properties in the metadata that the input mqtt sets and ` + "`robustmq_envelope`" + ` restores, unless ` + "`publish_properties`" + ` is false:

- mqtt_content_type
- mqtt_response_topic
- mqtt_correlation_data
- mqtt_payload_format_indicator
- mqtt_message_expiry_interval
- mqtt_user_properties (a list of objects with a key and a value)

== Metrics

- mqtt_output_blocked: 1 while a batch is held because of a message that the broker refuses, or because of its dead letter
- mqtt_output_messages_failed: messages that were refused, by reason
- mqtt_output_messages_retried, mqtt_output_messages_discarded, mqtt_output_messages_dead_lettered: what the failure strategy did`)
	for _, group := range [][]*service.ConfigField{
		connectionFields(), messageFields(), publishingFields(),
	} {
		spec = spec.Fields(group...)
	}
	return spec
}

func messageFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewInterpolatedStringField(fieldTopic).
			Description("The topic to publish each message to."),
		service.NewIntField(fieldQoS).
			Description("The QoS of each message: 0, 1 or 2.").
			Default(1),
		service.NewDurationField(fieldWriteTimeout).
			Description("The longest time that the connection may take no data that is to be written. The output then connects again. 0 sets no limit.").
			Default("3s").Version("3.58.0").Examples("1s", "500ms"),
		service.NewBoolField(fieldRetained).
			Description("Whether the broker retains each message.").
			Default(false),
		service.NewInterpolatedStringField(fieldRetainedInterpolated).
			Description("Whether the broker retains the message, in place of `retained`. The value must be `true` or `false`; a message with another one fails.").
			Example("${! @mqtt_retained }").
			Optional().Advanced().Version("3.59.0"),
		service.NewInterpolatedStringField(fieldQoSInterpolated).
			Description("The QoS of the message, in place of `qos`. The value must be 0, 1 or 2; a message with another one fails.").
			Example("${! @mqtt_qos.or(1) }").
			Optional().Advanced(),
		service.NewBoolField(fieldPublishProperties).
			Description("Whether messages are published with the MQTT 5 properties in their metadata. Ignored with MQTT 3.1.1.").
			Default(true).Advanced(),
		service.NewMetadataFilterField(fieldMetadata).
			Description("Which metadata of a message becomes user properties of it, after those of `mqtt_user_properties`. Ignored with MQTT 3.1.1. Default: none.").
			Optional().Advanced(),
	}
}

func publishingFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewIntField(fieldMaxInFlight).
			Description("The number of batches published at the same time. With 1, batches reach the broker in their order, and all messages of a batch are in flight together. With more, a batch may overtake another.").
			Default(1),
		service.NewBatchPolicyField(fieldBatching),
		strategyField(),
		service.NewObjectField(fieldDeadLetterKafka, kafka.LetterboxFields()...).
			Description("How to connect to the Kafka of the dead letters. It needs `bootstrap_servers` in `failure_strategy`. Default: without TLS and without a login.").
			Advanced(),
		service.NewBoolField(fieldCleanSession).
			Description("Whether each connection starts a new session. With `false` the broker keeps the session while the connection is interrupted, so that a message of QoS 2 arrives once.").
			Default(true).Advanced(),
		protocolVersionField(""),
		sessionExpiryField(" The output ends the session when it is closed."),
		service.NewIntField(fieldMaxInFlightPublishes).
			Description("The number of messages of QoS 1 and 2, from 1 to 65535, in flight with MQTT 3.1.1. With MQTT 5 the broker says how many it takes (its Receive Maximum).").
			Default(100).Advanced(),
		service.NewIntField(fieldTopicAliases).
			Description("The number of topics, from 0 to 65535, for which a short number is sent in place of the name, as far as the broker takes them. That saves bandwidth with long names. Ignored with MQTT 3.1.1.").
			Default(0).Advanced(),
		service.NewDurationField(fieldAckTimeout).
			Description("The longest time that the broker may acknowledge nothing while messages of QoS 1 and 2 are in flight. The output then connects again and publishes again what is not acknowledged. 0 sets no limit.").
			Default("30s").Advanced(),
		connectPropertiesField(),
	}
}

// NeedsLetterServers is what lint and the constructor say about dead_letter_kafka alone.
const NeedsLetterServers = "needs bootstrap_servers in failure_strategy, with the strategy dead_message_queue; add them, or remove it"

// outputConfig is the parsed configuration of the output.
type outputConfig struct {
	connection
	messages messageBuilder

	maxInFlight  int
	writeTimeout time.Duration // 0 for no limit
	ackTimeout   time.Duration // 0 for no limit
	window       int           // with MQTT 3.1.1
	aliases      int           // to use
	strategy     kafka.Strategy
	letterbox    *kafka.Letterbox // of dead letters to Kafka, else nil
}

func parseOutput(conf *service.ParsedConfig, opts ...Option) (*outputConfig, error) {
	p := parser{fields.NewReader(conf)}
	c := &outputConfig{
		connection:   p.connection(),
		maxInFlight:  p.Integer(1, math.MaxInt32, fieldMaxInFlight),
		writeTimeout: p.Duration(0, fields.AnyDuration, fieldWriteTimeout),
		ackTimeout:   p.Duration(0, fields.AnyDuration, fieldAckTimeout),
		window:       p.Integer(1, math.MaxUint16, fieldMaxInFlightPublishes),
		aliases:      p.Integer(0, math.MaxUint16, fieldTopicAliases),
	}
	p.messages(&c.messages)
	for _, option := range opts {
		option(&c.connection)
	}
	p.strategy(c)
	if c.letterbox == nil && kafka.AccessGiven(p.Conf.Namespace(fieldDeadLetterKafka)) {
		p.Fail(errors.New(NeedsLetterServers), fieldDeadLetterKafka)
	}
	return c, p.Err()
}

func (p parser) messages(b *messageBuilder) {
	b.topic = p.expression(fieldTopic)
	b.retainedBy = p.expression(fieldRetainedInterpolated)
	b.qosBy = p.expression(fieldQoSInterpolated)
	b.qos = byte(p.Integer(0, 2, fieldQoS))
	b.retained = fields.Read(p.Reader, p.Conf.FieldBool, fieldRetained)
	b.properties = fields.Read(p.Reader, p.Conf.FieldBool, fieldPublishProperties)
	if b.topic.isConstant {
		p.Fail(checkPublishTopic(b.topic.constant), fieldTopic)
	}
	if b.qosBy.isSet() && b.qosBy.isConstant {
		_, err := parseQoS(b.qosBy.constant)
		p.Fail(err, fieldQoSInterpolated)
	}
	if p.Conf.Contains(fieldMetadata) {
		filter, err := p.Conf.FieldMetadataFilter(fieldMetadata)
		p.Fail(err, fieldMetadata)
		if !filter.IsEmpty() {
			b.metadata = filter
		}
	}
}

// expression reads an interpolated field. Without a value it is constant and empty.
func (p parser) expression(name string) expression {
	if p.Optional(name) == "" {
		return expression{isConstant: true}
	}
	e := expression{engine: fields.Read(p.Reader, p.Conf.FieldInterpolatedString, name)}
	if e.engine != nil {
		e.constant, e.isConstant = e.engine.Static()
	}
	return e
}

func (p parser) strategy(c *outputConfig) {
	if !p.Conf.Contains(fieldFailureStrategy) {
		return
	}
	value, err := p.Conf.FieldAny(fieldFailureStrategy)
	p.Fail(err, fieldFailureStrategy)
	s, problems := ParseStrategy(value)
	c.strategy = s
	for _, problem := range problems {
		p.Fail(errors.New(problem.What), problem.Field)
	}
	if len(problems) == 0 && s.BootstrapServers != nil {
		c.letterbox, err = kafka.ParseLetterbox(s.BootstrapServers, s.TopicName, p.Conf.Namespace(fieldDeadLetterKafka), c.letters...)
		p.Fail(err, fieldDeadLetterKafka)
	}
	if own := c.messages.topic; own.isConstant && s.TopicName == own.constant && s.BootstrapServers == nil {
		p.Fail(fmt.Errorf("%q is the topic that the output writes to; name another", s.TopicName), fieldFailureStrategy, "topic_name")
	}
	if s.Name != "" && c.maxInFlight != 1 {
		p.Fail(fmt.Errorf("must be 1 with %s: a batch that is held must hold every later one", fieldFailureStrategy), fieldMaxInFlight)
	}
}
