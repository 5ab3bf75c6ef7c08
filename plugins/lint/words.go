package lint

import (
	"fmt"
	"strings"
)

// otherNames are names of a field in other programs, in RobustMQ's documents and in
// common use.
var otherNames = map[string]map[string]string{
	"input.robustmq_kafka": {
		"topic_id": "topic topics topic_filter topic_filters topic_name filter filters subscribe subscription",
		"urls":     "url broker brokers server servers host hosts address addresses endpoint endpoints broker_url mqtt_url",
		"username": "user login",
		"password": "pass passwd",
		"tls":      "ssl",
	},
	"output.robustmq_kafka": {
		"bootstrap_servers": "broker brokers server servers seed_brokers host hosts address addresses bootstrap_server bootstrap urls url kafka_brokers",
		"topic":             "topic_name topics kafka_topic",
		"key":               "message_key partition_key record_key",
		"compression_type":  "compression",
		"linger_ms":         "linger",
		"tls":               "ssl",
	},
	"input.robustmq_kafka_source": {
		"bootstrap_servers": "broker brokers server servers seed_brokers host hosts address addresses bootstrap_server bootstrap urls url kafka_brokers",
		"topic":             "topics topic_name kafka_topic topic_id",
		"topic_pattern":     "regexp_topics_include pattern topics_pattern topic_regex",
		"group_id":          "group consumer_group group_name",
		"start_offset":      "offset auto_offset_reset start",
		"tls":               "ssl",
	},
	"output.robustmq_mqtt": {
		"urls":     "url broker brokers server servers host hosts address addresses endpoint endpoints broker_url mqtt_url",
		"topic":    "topic_id topic_name mqtt_topic",
		"retain":   "retained",
		"username": "user login",
		"password": "pass passwd",
		"tls":      "ssl",
	},
	"input.mqtt": {
		"topics": "topic topic_id topic_filter filter filters subscribe",
		"urls":   "url broker brokers server servers host hosts address addresses",
		"user":   "username login",
	},
	"output.mqtt": {
		"urls": "url broker brokers server servers host hosts address addresses",
		"user": "username login",
	},
	"output.kafka_franz": {
		"seed_brokers": "bootstrap_servers broker brokers server servers host hosts address addresses urls url",
		"compression":  "compression_type",
		"linger":       "linger_ms",
	},
	"input.kafka_ordered": {
		"seed_brokers":   "bootstrap_servers broker brokers server servers host hosts address addresses urls url",
		"topics":         "topic",
		"consumer_group": "group group_id",
	},
	"input.kafka_franz": {
		"seed_brokers": "bootstrap_servers broker brokers server servers host hosts address addresses urls url",
		"topics":       "topic",
	},
}

// didYouMean suggests a field of a component or, if c is nil, of the pipeline.
func (f *finder) didYouMean(c *component, name string) string {
	spec := &f.schema.pipeline
	if c != nil {
		spec = &c.spec
		for field, others := range otherNames[c.kind+"."+c.name] {
			for _, other := range strings.Fields(others) {
				if strings.EqualFold(other, name) {
					return fmt.Sprintf("; did you mean %q?", field)
				}
			}
		}
	}
	if near := nearest(name, spec.names()); near != "" && near != name {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
