package envelope

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	fieldOperator        = "operator"
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

// encodeFields are the fields that fill the envelope.
var encodeFields = []string{
	fieldTopic, fieldQoS, fieldRetain, fieldPayload, fieldClientID, fieldUsername,
	fieldTimestamp, fieldMessageID, fieldHeader, fieldTags, fieldKey,
}

// What lint and the constructor say alike.
const (
	encodeOnly   = "field %s has an effect with `operator: encode` only: remove it, or set operator to encode"
	decodeOnly   = "field %s has an effect with `operator: decode` only: remove it, or set operator to decode"
	wantOperator = "field operator: want encode or decode, got %q"
)

// lintRule is check for the linter. A switch that has its default value passes,
// because tools that print a whole config write it there. The linter itself
// knows the words of operator, but takes them in capitals too.
var lintRule = fmt.Sprintf(`
let encode_only = %q.split(",").filter(name -> this.exists(name)).concat(if this.%s.or(false) == true { [%q] } else { [] })
let decode_only = if this.%s.or(true) == false { [%q] } else { [] }
let operator = this.%s.or("").string()
root = match $operator {
  "decode" => $encode_only.map_each(name -> %q.format(name))
  "encode" => $decode_only.map_each(name -> %q.format(name))
  _ => if [ "encode", "decode" ].contains($operator.lowercase()) { [ %q.format($operator) ] } else { [] }
}`, strings.Join(encodeFields, ","), fieldRepeatTimestamp, fieldRepeatTimestamp,
	fieldVerifyCRC, fieldVerifyCRC, fieldOperator, encodeOnly, decodeOnly, wantOperator)

// config is the parsed configuration of the processor.
type config struct {
	operator  string
	verifyCRC bool
	encoder   *Encoder
}

func parseConfig(conf *service.ParsedConfig) (c config, err error) {
	if c.operator, err = conf.FieldString(fieldOperator); err != nil {
		return c, err
	}
	if c.operator != operatorEncode && c.operator != operatorDecode {
		return c, fmt.Errorf(wantOperator, c.operator)
	}
	if c.verifyCRC, err = conf.FieldBool(fieldVerifyCRC); err != nil {
		return c, err
	}
	if c.encoder, err = ParseEncoder(conf); err != nil {
		return c, err
	}
	return c, c.check(conf)
}

// check refuses the fields of the other operator, as lintRule does.
func (c *config) check(conf *service.ParsedConfig) error {
	var errs []error
	if c.operator == operatorDecode {
		for _, name := range encodeFields {
			if conf.Contains(name) {
				errs = append(errs, fmt.Errorf(encodeOnly, name))
			}
		}
		if c.encoder.repeatTimestamp {
			errs = append(errs, fmt.Errorf(encodeOnly, fieldRepeatTimestamp))
		}
	} else if !c.verifyCRC {
		errs = append(errs, fmt.Errorf(decodeOnly, fieldVerifyCRC))
	}
	return errors.Join(errs...)
}

// Spec describes the processor robustmq_envelope and its fields.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Stable().
		Categories("Mapping", "Parsing").
		Summary("Puts an MQTT message into a RobustMQ JSON envelope, or takes it out of one.").
		Description("\nEncoding makes the content of each message one JSON object with the names `topic`, `qos`, `retain`, `payload` (standard base64 with padding), `client_id`, `username`, `timestamp` (Unix seconds), `message_id`, `header` (a list of objects with `key` and `value`), `key`, `data` (the same base64 as `payload`), `tags` and `crc_num` (the CRC-32, IEEE polynomial, of the payload), in this order. Metadata stays as it is. Each name but `data` and `crc_num` is a field here; a field that is left out takes its value from the metadata of the message, as its description says.\n\n"+
			"Decoding is the way back: the content becomes the payload, and the metadata `mqtt_topic`, `mqtt_qos`, `mqtt_retained`, `mqtt_message_id`, `mqtt_timestamp_ms` (Unix milliseconds), the MQTT 5 properties and, where they are not empty, `kafka_key`, `mqtt_client_id` and `mqtt_username` are set. It takes the names in any order, skips unknown names, and takes `payload` or `data` alone, header entries with `key` or `name`, byte strings as arrays of numbers, and `timestamp` twice.\n\n"+
			"MQTT 5 properties stand in the header under the names `content-type`, `response-topic`, `correlation-data` (base64), `payload-format-indicator` (0 or 1) and `message-expiry-interval` (seconds), followed by the user properties in order. They are the metadata `mqtt_content_type`, `mqtt_response_topic`, `mqtt_correlation_data`, `mqtt_payload_format_indicator`, `mqtt_message_expiry_interval` and `mqtt_user_properties` (a list of objects with `key` and `value`).\n\n"+
			"A message that fails keeps its content and is flagged with an error that names the field and the reason, and in a record the byte offset; the rest of its batch goes through.").
		Field(service.NewStringEnumField(fieldOperator, operatorEncode, operatorDecode).
			Description("Whether to make envelopes out of messages (`encode`) or messages out of envelopes (`decode`).")).
		Fields(EncoderFields()...).
		Field(interpolated(fieldKey, "The key of the Kafka record. Set, it becomes the metadata `kafka_key` as well, so that the output can use it though the content is an envelope by then. Left out, it is the metadata `kafka_key`, or empty without it.", `${! @mqtt_topic }`)).
		Field(service.NewBoolField(fieldVerifyCRC).Default(true).Advanced().
			Description("Whether `decode` fails a message whose `crc_num` is not the CRC-32 of its payload. A record without `crc_num` passes either way.")).
		LintRule(lintRule).
		Example("MQTT to Kafka", "Each message becomes an envelope. The client id comes from the second level of the topic.", `
pipeline:
  processors:
    - robustmq_envelope:
        operator: encode
        client_id: ${! @mqtt_topic.split("/").index(1) }
        key: ${! @mqtt_topic }
`).
		Example("Kafka to MQTT", "Each record becomes the message it was made of; an output can publish it to `${! @mqtt_topic }`. A record that is no envelope is logged and dropped.", `
pipeline:
  processors:
    - robustmq_envelope:
        operator: decode
    - catch:
        - log:
            level: ERROR
            message: "Dropping a record that is no envelope: ${! error() }"
        - mapping: root = deleted()
`)
}
