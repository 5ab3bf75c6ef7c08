package connector

import (
	"bytes"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/robustmq"
)

// A connector of type kafka_source reads records of Kafka and publishes them by MQTT.
// Its definition has the same form as one of type kafka: topic_name is the MQTT side,
// config has the settings of both ends.

// IsSource reports whether the connector reads from Kafka.
func (c Connector) IsSource() bool { return c.Type == TypeKafkaSource }

// PublishTopic is the MQTT topic of a source that names none: that of the message.
const PublishTopic = `${! @mqtt_topic.or("") }`

// sourceKafkaFields are the fields of the input template robustmq_kafka_source that the
// config of a source may have, beside bootstrap_servers.
var sourceKafkaFields = []string{"topic", "topic_pattern", "group_id", "start_offset", "format", "tls", "sasl"}

// sourceMQTTFields are the fields of the output template robustmq_mqtt that the config
// of a source may have, by their names there; mqtt_tls is its tls.
var sourceMQTTFields = []string{
	"urls", "client_id", "username", "password", "qos", "retain", "keepalive", "connect_timeout", "mqtt_tls",
}

// PublishingSettings returns the settings of an MQTT side that a source has too. Those of
// a subscription, such as clean_session and max_payload_bytes, have no meaning for it.
func PublishingSettings(side Settings) Settings {
	return slices.DeleteFunc(slices.Clone(side), func(s Setting) bool {
		return s.Name != "tls" && !slices.Contains(sourceMQTTFields, s.Name)
	})
}

// publishTopic reads topic_id or topic_name of a source. Default: PublishTopic.
func (r *reader) publishTopic() string {
	topic := ""
	for _, name := range []string{"topic_id", "topic_name"} {
		given := or(r.optionalInterpolated(name, MaxFilter), "")
		switch {
		case given == "":
		case topic == "" || topic == given:
			topic = given
		default:
			r.fail(name, "%q conflicts with topic_id %q, which means the same; remove one of them", given, topic)
		}
	}
	if topic == "" {
		return PublishTopic
	}
	return topic
}

// readSource reads the config of a source.
func (c *Connector) readSource(r reader) error {
	c.Kafka = Kafka{
		BootstrapServers: r.literal("bootstrap_servers", robustmq.FieldOf("bootstrap_servers").MaxLength),
		More:             r.settings(sourceKafkaFields),
	}
	c.MQTT = r.settings(sourceMQTTFields)
	return r.done()
}

// GroupID is the consumer group of a source that names none. It stays the same after a
// restart, and is the same for every service that runs the connector.
func GroupID(name string) string { return "robustmq_connect_" + Label(name) }

// sourcePipeline renders a source as a pipeline of robustmq_kafka_source and
// robustmq_mqtt.
func sourcePipeline(c Connector) []byte {
	in := mapping("bootstrap_servers", text(c.Kafka.BootstrapServers))
	if c.Kafka.More.Get("group_id") == nil {
		in.Content = append(in.Content, text("group_id"), text(GroupID(c.Name)))
	}
	addSettings(in, c.Kafka.More)
	out := mapping("topic", text(c.TopicID))
	addSettings(out, c.MQTT)
	addStrategy(out, c.FailureStrategy)
	addLetterAccess(out, c)

	input := mapping("label", text(Label(c.Name)+"_kafka"))
	input.Content = append(input.Content, text("robustmq_kafka_source"), in)
	// Dead letters have the label of the output.
	output := mapping("label", text(Label(c.Name)))
	output.Content = append(output.Content, text("robustmq_mqtt"), out)
	root := mapping("input", input)
	root.Content = append(root.Content, text("output"), output)
	return render(c.Name, root)
}

// addLetterAccess lets the Kafka of dead letters be reached as that of the records is, as
// in a connector of type kafka.
func addLetterAccess(out *yaml.Node, c Connector) {
	if c.FailureStrategy == nil || c.FailureStrategy.BootstrapServers == "" {
		return
	}
	access := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range c.Kafka.More {
		if s.Name == "tls" || s.Name == "sasl" {
			addSettings(access, Settings{s})
		}
	}
	if len(access.Content) > 0 {
		out.Content = append(out.Content, text("dead_letter_kafka"), access)
	}
}

// render writes a pipeline as YAML.
func render(name string, root *yaml.Node) []byte {
	var b bytes.Buffer
	b.WriteString("# RobustMQ connector " + commentText(name) + "\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	// Encoding these nodes into memory cannot fail.
	_ = e.Encode(root)
	_ = e.Close()
	return b.Bytes()
}
