package envelope

import (
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/constraint"
)

const (
	fieldOperator        = "operator"
	fieldFormat          = "format"
	fieldTopic           = "topic"
	fieldQoS             = "qos"
	fieldRetain          = "retain"
	fieldPayload         = "payload"
	fieldClientID        = "client_id"
	fieldUsername        = "username"
	fieldTimestamp       = "timestamp"
	fieldMessageID       = "message_id"
	fieldHeader          = "header"
	fieldKey             = "key"
	fieldTags            = "tags"
	fieldRepeatTimestamp = "repeat_timestamp"
	fieldVerifyCRC       = "verify_crc"

	operatorEncode = "encode"
	operatorDecode = "decode"
)

// encodeFields are the fields that set the contents of the envelope.
var encodeFields = []string{
	fieldTopic, fieldQoS, fieldRetain, fieldPayload, fieldClientID, fieldUsername,
	fieldTimestamp, fieldMessageID, fieldHeader, fieldTags, fieldKey,
}

// Constraints say which fields are used with which operator. A switch with its default
// value passes, because tools that print a whole config write it. The engine's own rule
// for operator also accepts capital letters.
var Constraints = constraint.New(constraints()...)

func constraints() []constraint.Constraint {
	const (
		encodeOnly = "is ignored unless operator is encode; remove it, or set operator to encode"
		decodeOnly = "is ignored unless operator is decode; remove it, or set operator to decode"
	)
	all := []constraint.Constraint{
		{
			Field: fieldOperator, What: "want encode or decode, in small letters",
			Broken: `["encode", "decode"].contains(this.operator.lowercase()) && this.operator != this.operator.lowercase()`,
		},
		{Field: fieldVerifyCRC, Broken: `this.operator == "encode" && this.verify_crc.or(true) == false`, What: decodeOnly},
		{Field: fieldRepeatTimestamp, Broken: `this.operator == "decode" && this.repeat_timestamp.or(false) == true`, What: encodeOnly},
	}
	for _, name := range encodeFields {
		if name == fieldTopic { // which decode takes too
			continue
		}
		all = append(all, constraint.Constraint{
			Field: name, Broken: fmt.Sprintf(`this.operator == "decode" && this.exists(%q)`, name), What: encodeOnly,
		})
	}
	return append(all, FormatConstraints("")...)
}

// config is the parsed configuration of the processor.
type config struct {
	operator  string
	format    string // of what decode reads, "" for robustmq_json or robustmq_record
	verifyCRC bool
	encoder   *Encoder
}

func parseConfig(conf *service.ParsedConfig) (c config, err error) {
	if c.operator, err = conf.FieldString(fieldOperator); err != nil {
		return c, err
	}
	if c.operator != operatorEncode && c.operator != operatorDecode {
		return c, fmt.Errorf("field operator: want encode or decode, got %q", c.operator)
	}
	if c.verifyCRC, err = conf.FieldBool(fieldVerifyCRC); err != nil {
		return c, err
	}
	if c.encoder, err = ParseEncoder(conf); err != nil {
		return c, err
	}
	if conf.Contains(fieldFormat) {
		c.format = c.encoder.format
	}
	fields, err := conf.FieldAny()
	if err != nil {
		return c, err
	}
	return c, Constraints.Check(fields)
}

// Spec describes the processor robustmq_envelope and its fields.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Stable().
		Categories("Mapping", "Parsing").
		Summary("Puts an MQTT message into a RobustMQ envelope, or takes it out of one.").
		Description("\nEncoding makes the content of each message one JSON object with the names `topic`, `qos`, `retain`, `payload` (standard base64 with padding), `client_id`, `username`, `timestamp` (Unix seconds), `message_id`, `header` (a list of objects with `key` and `value`), `key`, `data` (the same base64 as `payload`), `tags` and `crc_num` (the CRC-32, IEEE polynomial, of the payload), in this order. Metadata stays as it is. Each name except `data` and `crc_num` is a field here. A field that is not set takes its value from the metadata of the message, as its description says. "+
			"With `format: robustmq_record` it is RobustMQ's storage record, and with `format: raw` the payload.\n\n"+
			"Decoding does the opposite: the content becomes the payload, and the metadata `mqtt_topic`, `mqtt_qos`, `mqtt_retained`, `mqtt_message_id`, `mqtt_timestamp_ms` (Unix milliseconds), the MQTT 5 properties and, if they are not empty, `kafka_key`, `mqtt_client_id` and `mqtt_username` are set. It accepts the names in any order, ignores unknown names, and accepts `payload` or `data` alone beside other names of the envelope, header entries with `key` or `name`, byte strings as arrays of numbers, and `timestamp` twice. A storage record of RobustMQ has no topic, no QoS, no user name and no packet identifier. A record without a topic gets that of the field `topic`, else the metadata `kafka_topic`, else it fails.\n\n"+
			"The header holds the MQTT 5 properties under the names `content-type`, `response-topic`, `correlation-data` (base64), `payload-format-indicator` (0 or 1) and `message-expiry-interval` (seconds), followed by the user properties in order. They are the metadata `mqtt_content_type`, `mqtt_response_topic`, `mqtt_correlation_data`, `mqtt_payload_format_indicator`, `mqtt_message_expiry_interval` and `mqtt_user_properties` (a list of objects with `key` and `value`).\n\n"+
			"A message that fails keeps its content and gets an error that names the field and the reason, and in a record the byte offset. The rest of its batch is not affected.").
		Field(service.NewStringEnumField(fieldOperator, operatorEncode, operatorDecode).
			Description("Whether to turn messages into envelopes (`encode`) or envelopes into messages (`decode`).")).
		Field(FormatField("Default: `encode` writes `robustmq_json`; `decode` reads `robustmq_json` and `robustmq_record`, which it tells apart by their names, and fails any other record.")).
		Fields(EncoderFields()...).
		Field(interpolated(fieldKey, "The key of the Kafka record. If set, it also becomes the metadata `kafka_key`, so that the output can use it when the content is an envelope. Default: the metadata `kafka_key`, else empty.", `${! @mqtt_topic }`)).
		Field(service.NewBoolField(fieldVerifyCRC).Default(true).Advanced().
			Description("Whether `decode` fails a message whose `crc_num` is not the CRC-32 of its payload. A record without `crc_num` always passes.")).
		LintRule(Constraints.LintRule()).
		Example("MQTT to Kafka", "Each message becomes an envelope. The client id comes from the second level of the topic.", `
pipeline:
  processors:
    - robustmq_envelope:
        operator: encode
        client_id: ${! @mqtt_topic.split("/").index(1) }
        key: ${! @mqtt_topic }
`).
		Example("Kafka to MQTT", "Each record becomes the message it was made of; an output can publish it to `${! @mqtt_topic }`. A record that is not an envelope is logged and dropped.", `
pipeline:
  processors:
    - robustmq_envelope:
        operator: decode
    - catch:
        - log:
            level: ERROR
            message: "Dropping a record that is not an envelope: ${! error() }"
        - mapping: root = deleted()
`)
}
