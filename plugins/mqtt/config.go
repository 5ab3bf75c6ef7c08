// Package mqtt is the input mqtt. It replaces the stock input of that name and adds
// MQTT 5, acknowledgements that wait for the end of the pipeline, and batches from the
// first hop.
//
// An input has one goroutine that maintains the connection (reconnect.go) and one that
// watches the oldest message (monitor.go). Each connection, called a session here, has
// one goroutine that reads (reader.go) and one that writes (writer.go); both end before
// the next connection starts. The engine's goroutines call Connect and ReadBatch, and
// answer batches (batch.go). An acknowledgement is sent when the pipeline has finished
// the message and all that arrived before it (inflight.go).
package mqtt

import (
	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	fieldURLs            = "urls"
	fieldClientID        = "client_id"
	fieldClientIDSuffix  = "dynamic_client_id_suffix"
	fieldConnectTimeout  = "connect_timeout"
	fieldWill            = "will"
	fieldWillEnabled     = "enabled"
	fieldWillQoS         = "qos"
	fieldWillRetained    = "retained"
	fieldWillTopic       = "topic"
	fieldWillPayload     = "payload"
	fieldUser            = "user"
	fieldPassword        = "password"
	fieldKeepAlive       = "keepalive"
	fieldTLS             = "tls"
	fieldTopics          = "topics"
	fieldQoS             = "qos"
	fieldCleanSession    = "clean_session"
	fieldProtocolVersion = "protocol_version"
	fieldTopicQoS        = "topic_qos"
	fieldSessionExpiry   = "session_expiry"
	fieldReceiveMaximum  = "receive_maximum"
	fieldTopicAliases    = "topic_alias_maximum"
	fieldUserProperties  = "user_properties"

	fieldNoLocal           = "no_local"
	fieldRetainAsPublished = "retain_as_published"
	fieldRetainHandling    = "retain_handling"

	fieldMaxBatchMessages = "max_batch_messages"
	fieldMaxBatchBytes    = "max_batch_bytes"
	fieldMaxPendingBytes  = "max_pending_bytes"
	fieldMaxPayloadBytes  = "max_payload_bytes"
	fieldOversized        = "oversized_payload"
	fieldStallWarning     = "stall_warning"
)

const (
	versionAuto = "auto"
	version5    = "5"
	version311  = "3.1.1"

	expiryNever = "never"

	oversizedHold = "hold"
	oversizedFail = "fail"
)

const versionRule = `root = if !["auto", "5", "3.1.1"].contains(this.string()) { ["value %v is unknown; must be one of auto, 5, 3.1.1".format(this.string())] }`

// Spec describes the input mqtt and its fields.
func Spec() *service.ConfigSpec {
	spec := service.NewConfigSpec().
		Stable().
		Categories("Services").
		Summary("Subscribes to topics of an MQTT broker and acknowledges a message once the pipeline is done with it.").
		Description(`
Whatever has arrived is handed over as one batch, without waiting. A message of QoS 1 or 2 is acknowledged to the broker after the output has taken it, or a processor has dropped it, in the order of arrival. The broker delivers again what was not acknowledged when the process or the connection ends. For that it must keep a session: set a ` + "`client_id`" + ` that no other client uses, and ` + "`clean_session: false`" + `.

The connection ends when the broker sends what MQTT forbids: a topic that is not UTF-8 or has a wildcard, a packet that cannot be read. The log then has the bytes that are wrong. What arrived before it is first acknowledged, as long as that takes no more than 30 seconds. A broker that keeps such a message sends it again on each connection: the input is not ready, retries at growing intervals up to a minute, and says what to do.

A filter that is removed from ` + "`topics`" + ` stays part of a session that the broker keeps. To remove it there, connect once with ` + "`clean_session: true`" + `, or use another ` + "`client_id`" + `.

== Metadata

This input adds the following metadata fields to each message:

- mqtt_duplicate
- mqtt_qos
- mqtt_retained
- mqtt_topic
- mqtt_message_id
- mqtt_timestamp_ms (the time of receipt, in Unix milliseconds)

and these where the publisher set them, under MQTT 5:

- mqtt_content_type
- mqtt_response_topic
- mqtt_correlation_data
- mqtt_payload_format_indicator
- mqtt_message_expiry_interval
- mqtt_user_properties (a list of objects with a key and a value)

and mqtt_payload_size, the number of bytes, where the payload was too large for ` + "`max_payload_bytes`" + ` and ` + "`oversized_payload`" + ` is ` + "`fail`" + `.

== Metrics

- mqtt_input_in_flight: messages of QoS 1 or 2 that have arrived and are not acknowledged
- mqtt_input_oldest_unacked_seconds: the age of the oldest of them`)
	for _, group := range [][]*service.ConfigField{
		connectionFields(), subscriptionFields(), sessionFields(), flowFields(),
	} {
		spec = spec.Fields(group...)
	}
	return spec.Field(service.NewAutoRetryNacksToggleField())
}

func connectionFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewURLListField(fieldURLs).
			Description("The brokers to connect to, as `scheme://host:port`, tried in turn until one answers. The scheme is `tcp` or `mqtt`, `ssl`, `tls` or `mqtts` (encrypted), `ws`, `wss` (encrypted), or `unix` with the path of a socket. An item with commas counts as several URLs. A proxy is taken from the environment (`ALL_PROXY`, for WebSockets `HTTP_PROXY` and `HTTPS_PROXY`).").
			Example([]string{"tcp://localhost:1883"}),
		service.NewStringField(fieldClientID).
			Description("The name of this client and of its session at the broker. Two clients of one name disconnect each other. When it is empty, the broker chooses one.").
			Default(""),
		service.NewStringAnnotatedEnumField(fieldClientIDSuffix, map[string]string{
			"nanoid": "append a nanoid of length 21 characters",
		}).
			Description("Appends a text to `client_id` that is new on each start. To the broker each start is then a new client, and a session does not outlive the process.").
			Optional().Advanced().LintRule(`root = []`),
		service.NewDurationField(fieldConnectTimeout).
			Description("The longest time that one attempt to connect to one broker takes, up to and including the answer to the subscription. Some brokers send messages before that answer, and send the answer only when those are acknowledged. For these the time starts when nothing is left to acknowledge. 0 sets no limit.").
			Default("30s").Version("3.58.0").Examples("1s", "500ms"),
		willField(),
		service.NewStringField(fieldUser).
			Description("The user name to connect with. A user name in a URL takes precedence.").
			Default("").Advanced(),
		service.NewStringField(fieldPassword).
			Description("The password to connect with. It is sent only with a user name.").
			Default("").Secret().Advanced(),
		service.NewIntField(fieldKeepAlive).
			Description("The number of seconds without traffic after which a ping is sent, and after which the broker may disconnect this client. 0 sends none. An MQTT 5 broker may choose another number.").
			Default(30).Advanced(),
		service.NewTLSToggledField(fieldTLS),
	}
}

func willField() *service.ConfigField {
	return service.NewObjectField(fieldWill,
		service.NewBoolField(fieldWillEnabled).
			Description("Whether there is a last will.").Default(false),
		service.NewIntField(fieldWillQoS).
			Description("The QoS of the last will: 0, 1 or 2.").Default(0),
		service.NewBoolField(fieldWillRetained).
			Description("Whether the broker retains the last will.").Default(false),
		service.NewStringField(fieldWillTopic).
			Description("The topic of the last will.").Default(""),
		service.NewStringField(fieldWillPayload).
			Description("The payload of the last will.").Default(""),
	).
		Description("A message that the broker publishes when this client disappears without a DISCONNECT.").
		Advanced()
}

func subscriptionFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringListField(fieldTopics).
			Description("The topic filters to subscribe to. `$share/group/filter` shares the messages among all clients of the group.").
			Example([]string{"sensors/+/data", "$share/kafka/events/#"}),
		service.NewIntField(fieldQoS).
			Description("The highest QoS at which the broker delivers: 0, 1 or 2.").
			Default(1).Advanced(),
		service.NewIntMapField(fieldTopicQoS).
			Description("The QoS of those filters of `topics` that need another than `qos`.").
			Example(map[string]any{"telemetry/#": 0}).
			Default(map[string]any{}).Advanced(),
		service.NewBoolField(fieldNoLocal).
			Description("Whether the broker skips messages that were published under this client's own `client_id`. Ignored with MQTT 3.1.1 and for `$share`.").
			Default(false).Advanced(),
		service.NewBoolField(fieldRetainAsPublished).
			Description("Whether `mqtt_retained` is the retain flag as published, and not whether the message comes from the broker's store. Ignored with MQTT 3.1.1.").
			Default(false).Advanced(),
		service.NewIntField(fieldRetainHandling).
			Description("When the broker sends the messages it retains: 0 on every subscription, 1 when the subscription is new to the session, 2 never. On a session that the broker kept, 0 acts as 1, because each MQTT 5 connection subscribes. Ignored with MQTT 3.1.1.").
			Default(0).Advanced(),
	}
}

func sessionFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewBoolField(fieldCleanSession).
			Description("Whether each connection starts a new session. With `false` the broker keeps the subscriptions, and the messages of QoS 1 and 2, while this client is away.").
			Default(true).Advanced(),
		protocolVersionField(" It may then deliver again what was received already, so set `3.1.1` for such a broker"),
		sessionExpiryField(""),
		service.NewIntField(fieldReceiveMaximum).
			Description("The number of messages of QoS 1 and 2, from 1 to 65535, that the broker may send before it gets an acknowledgement. A lower number limits the memory and what is delivered again after a crash; a higher one lets batches grow. Ignored with MQTT 3.1.1, where the broker's own settings decide.").
			Default(65535).Advanced(),
		service.NewIntField(fieldTopicAliases).
			Description("The number of topics, from 0 to 65535, for which the broker may send a short number in place of the name. That saves bandwidth with long names. Some brokers confuse the numbers when a session continues on a new connection, and their messages then cannot be delivered. Ignored with MQTT 3.1.1.").
			Default(0).Advanced(),
		connectPropertiesField(),
	}
}

// protocolVersionField is the field of input and output; then says what follows where
// the broker does not refuse MQTT 5 in words.
func protocolVersionField(then string) *service.ConfigField {
	return service.NewStringAnnotatedEnumField(fieldProtocolVersion, map[string]string{
		versionAuto: "MQTT 5, and MQTT 3.1.1 with a broker that refuses it. A broker that closes the connection or stays silent instead gets MQTT 3.1.1 on this connection and MQTT 5 again on the next." + then,
		version5:    "MQTT 5 only",
		version311:  "MQTT 3.1.1 only",
	}).
		Description("The version of MQTT to speak.").
		Default(versionAuto).Advanced().
		// The built-in rule for options reads the dots of 3.1.1 as a path.
		LintRule(versionRule)
}

// sessionExpiryField is the field of input and output; atEnd says what becomes of the
// session when the component is closed.
func sessionExpiryField(atEnd string) *service.ConfigField {
	return service.NewStringField(fieldSessionExpiry).
		Description("How long the broker keeps the session after the connection has ended, as a duration of whole seconds, or `never` to keep it without limit. Default: `never` with `clean_session: false`, else `0s`." + atEnd + " Ignored with MQTT 3.1.1, where the broker's own settings decide.").
		Example("24h").Example(expiryNever).
		Optional().Advanced()
}

func connectPropertiesField() *service.ConfigField {
	return service.NewStringMapField(fieldUserProperties).
		Description("User properties of the CONNECT packet, in the order of their names. Ignored with MQTT 3.1.1.").
		Default(map[string]any{}).Advanced()
}

func flowFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewIntField(fieldMaxBatchMessages).
			Description("The largest number of messages in a batch. A batch never waits to become large: this only limits what had arrived when the pipeline asked.").
			Default(8192).Advanced(),
		service.NewStringField(fieldMaxBatchBytes).
			Description("The largest size of a batch, payloads and topics counted. A single larger message is a batch of its own.").
			Default("4MiB").Advanced(),
		service.NewStringField(fieldMaxPendingBytes).
			Description("The memory for messages that have arrived and that the pipeline has not asked for yet. When it is used up, the connection is not read until there is room, and the broker holds the rest.").
			Default("16MiB").Advanced(),
		service.NewStringField(fieldMaxPayloadBytes).
			Description("The largest payload that is taken into memory. A larger one is read past, and `oversized_payload` says what happens to its message. With a limit, the MQTT 5 properties of a message may take 64 KiB. The limit is not sent to the broker, which would silently drop larger messages. 0 sets no limit.").
			Default("0").Example("16MiB").Advanced(),
		service.NewStringAnnotatedEnumField(fieldOversized, map[string]string{
			oversizedHold: "the message is not acknowledged, the connection ends once those before it are, and the input is not ready, with the topic and the size as the reason, until the limit is raised or the broker has removed the message; one of QoS 0 is dropped with a warning",
			oversizedFail: "the message goes on with an error, the metadata `mqtt_payload_size` and no payload. Choose it only with an output that does not write messages with an error, such as `kafka_franz` with a `failure_strategy`: others would write an empty record",
		}).
			Description("What happens to a message with a payload of more than `max_payload_bytes`.").
			Default(oversizedHold).Advanced().LintRule(`root = []`),
		service.NewDurationField(fieldStallWarning).
			Description("The age of the oldest message without an acknowledgement at which a warning is logged. 0 logs none.").
			Default("30s").Advanced(),
	}
}
