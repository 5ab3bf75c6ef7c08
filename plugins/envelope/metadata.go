package envelope

// Metadata keys that the processor reads when it encodes and writes when it
// decodes. The first four are those of the stock mqtt input, kafka_key that of
// the stock Kafka inputs.
const (
	// MetaTopic is the MQTT topic name, a string.
	MetaTopic = "mqtt_topic"
	// MetaQoS is the quality of service, an int of 0, 1 or 2.
	MetaQoS = "mqtt_qos"
	// MetaRetained is the retain flag, a bool.
	MetaRetained = "mqtt_retained"
	// MetaMessageID is the MQTT packet identifier, an int.
	MetaMessageID = "mqtt_message_id"
	// MetaTimestampMS is the time at which the input received the message, an
	// int64 of Unix milliseconds.
	MetaTimestampMS = "mqtt_timestamp_ms"
	// MetaKafkaKey is the key of the Kafka record, a string.
	MetaKafkaKey = "kafka_key"
	// metaKafkaTopic is the Kafka topic that a record was read from, a string.
	metaKafkaTopic = "kafka_topic"
	// MetaClientID is the client id of the publisher, a string.
	MetaClientID = "mqtt_client_id"
	// MetaUsername is the user name of the publisher, a string.
	MetaUsername = "mqtt_username"
	// MetaContentType is the MQTT 5 property Content Type, a string.
	MetaContentType = "mqtt_content_type"
	// MetaResponseTopic is the MQTT 5 property Response Topic, a string.
	MetaResponseTopic = "mqtt_response_topic"
	// MetaCorrelationData is the MQTT 5 property Correlation Data: the raw
	// bytes, in a string.
	MetaCorrelationData = "mqtt_correlation_data"
	// MetaPayloadFormatIndicator is the MQTT 5 property Payload Format
	// Indicator, an int: 0 for bytes, 1 for UTF-8 text.
	MetaPayloadFormatIndicator = "mqtt_payload_format_indicator"
	// MetaMessageExpiryInterval is the MQTT 5 property Message Expiry Interval,
	// an int of seconds.
	MetaMessageExpiryInterval = "mqtt_message_expiry_interval"
	// MetaUserProperties are the MQTT 5 user properties in order: a []any of
	// map[string]any, each with the strings "key" and "value".
	MetaUserProperties = "mqtt_user_properties"
)

// Names of the MQTT 5 properties of a PUBLISH in the header, before the user properties
// and in this order.
const (
	headerContentType            = "content-type"
	headerResponseTopic          = "response-topic"
	headerCorrelationData        = "correlation-data"
	headerPayloadFormatIndicator = "payload-format-indicator"
	headerMessageExpiryInterval  = "message-expiry-interval"
)
