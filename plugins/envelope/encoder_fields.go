package envelope

import (
	"fmt"
	"slices"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Encoder encodes messages as envelopes. Any number of batches may use it concurrently.
// An interpolated field that is nil has the default of its description.
type Encoder struct {
	topic, qos, retain, payload, clientID, username *service.InterpolatedString
	timestamp, messageID, header, tags              *service.InterpolatedString
	key                                             *service.InterpolatedString

	format          string // one of Formats
	repeatTimestamp bool
}

func interpolated(name, description string, examples ...any) *service.ConfigField {
	return service.NewInterpolatedStringField(name).Description(description).Examples(examples...).Optional()
}

// FormatField says what a record's value is.
func FormatField(more string) *service.ConfigField {
	return service.NewStringEnumField(fieldFormat, Formats...).Optional().
		Description("What a record's value is. `robustmq_json` is the envelope that RobustMQ documents. `robustmq_record` is what RobustMQ's connector writes, its storage record: without topic, QoS, user name and packet identifier, and with the payload as an array of numbers. `raw` is the payload alone. " + more)
}

// EncoderFields describe the contents of an envelope, except its key, which each
// component describes itself.
func EncoderFields() []*service.ConfigField {
	return []*service.ConfigField{
		interpolated(fieldTopic, "The MQTT topic. Default: the metadata `mqtt_topic`, else empty."),
		interpolated(fieldQoS, "The quality of service: 0, 1 or 2. Default: the metadata `mqtt_qos`, else 0."),
		interpolated(fieldRetain, "The retain flag: true or false. Default: the metadata `mqtt_retained`, else false."),
		interpolated(fieldPayload, "The payload: any bytes, or none. Default: the content of the message.", `${! json("reading") }`),
		interpolated(fieldClientID, "The client id of the publisher, which MQTT does not tell a subscriber. Default: the metadata `mqtt_client_id`, else the MQTT 5 user property `client_id`, else empty.", `${! @mqtt_topic.split("/").index(1) }`),
		interpolated(fieldUsername, "The user name of the publisher, which MQTT does not tell a subscriber. Default: the metadata `mqtt_username`, else the MQTT 5 user property `username`, else empty."),
		interpolated(fieldTimestamp, "The time of receipt in Unix seconds, an integer. Default: the metadata `mqtt_timestamp_ms` (Unix milliseconds) rounded down to seconds, else the time of encoding.", `${! json("measured_at").ts_parse("2006-01-02T15:04:05Z07:00").ts_unix() }`),
		interpolated(fieldMessageID, "The MQTT packet identifier, an integer from 0 to 65535. Default: the metadata `mqtt_message_id`, else 0."),
		interpolated(fieldHeader, "The header, a JSON array of objects with the strings `key` and `value`. Default: the MQTT 5 properties in the metadata.", `${! [{"key": "content-type", "value": "application/json"}] }`),
		interpolated(fieldTags, "The tags, a JSON array of strings. Default: the levels of `topic`, for example `[\"sensor\",\"temperature\"]` for `sensor/temperature`; an empty topic has none.", `${! ["plant-1", @mqtt_topic] }`),
		service.NewBoolField(fieldRepeatTimestamp).Default(false).Advanced().
			Description("Whether `encode` writes `timestamp` a second time before `crc_num`, as RobustMQ's own documentation shows it. Strict JSON readers reject a name that comes twice."),
	}
}

// ParseEncoder reads EncoderFields, and the field key if there is one.
func ParseEncoder(conf *service.ParsedConfig) (*Encoder, error) {
	e := &Encoder{}
	targets := []**service.InterpolatedString{
		&e.topic, &e.qos, &e.retain, &e.payload, &e.clientID, &e.username,
		&e.timestamp, &e.messageID, &e.header, &e.tags, &e.key,
	}
	for i, name := range encodeFields {
		if !conf.Contains(name) {
			continue
		}
		field, err := conf.FieldInterpolatedString(name)
		if err != nil {
			return nil, err
		}
		if constant, ok := field.Static(); ok {
			if err := CheckField(name, constant); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		*targets[i] = field
	}
	e.format = FormatJSON
	var err error
	if conf.Contains(fieldFormat) {
		if e.format, err = conf.FieldString(fieldFormat); err != nil {
			return nil, err
		}
		if !slices.Contains(Formats, e.format) {
			return nil, fmt.Errorf("%s: %w", fieldFormat, wrong(e.format, "robustmq_json, robustmq_record or raw"))
		}
	}
	e.repeatTimestamp, err = conf.FieldBool(fieldRepeatTimestamp)
	return e, err
}
