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
