package lint

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
	"github.com/robustmq/robustmq-connect/plugins/robustmq"
)

// The rules of this file are about the way from Kafka to MQTT.

// checkSourceTemplate checks robustmq_kafka_source.
func checkSourceTemplate(f fields) {
	f.bootstrapServers()
	topics, judged := f.sourceTopics()
	pattern, _ := f.text("topic_pattern")
	switch {
	case !judged || isUnset(f.conf["topic_pattern"]):
	case len(topics) == 0 && pattern == "":
		f.report("topic", "is empty; give the Kafka topic to read, for example mqtt_messages, or topic_pattern")
	case len(topics) > 0 && pattern != "":
		f.report("topic_pattern", "conflicts with topic; remove one of them")
	}
	if pattern != "" {
		f.report("topic_pattern", kafka.CheckPattern(pattern))
	}
	f.textRule("group_id", kafka.CheckGroup)
	f.wordRule("start_offset", "earliest", "latest")
	f.wordRule("format", envelope.Formats...)
	f.tls()
	f.sasl(mechanisms)
}

// sourceTopics checks the topics of robustmq_kafka_source and returns them. judged is
// false if one of them is not known.
func (f fields) sourceTopics() (topics []string, judged bool) {
	given := f.conf["topic"]
	text, isText := f.text("topic")
	list := f.list("topic")
	switch {
	case isUnset(given):
		return nil, false
	case isText && text != "":
		topics = splitServers(text)
	case given != nil && !isText && list == nil:
		f.report("topic", "must be the name of a Kafka topic, or a list of names")
		return nil, false
	}
	judged = true
	for i, item := range list {
		name, ok := item.(string)
		if judged = judged && ok; ok {
			topics = append(topics, name)
		} else if !isUnset(item) {
			f.report(fmt.Sprintf("topic.%d", i), "must be the name of a Kafka topic")
		}
	}
	for _, topic := range topics {
		f.report("topic", checkKafkaTopic(topic))
	}
	return topics, judged
}

// checkMQTTTemplate checks robustmq_mqtt.
func checkMQTTTemplate(f fields) {
	f.mqttConnection("username")
	f.durationRules(false, "connect_timeout")
	f.publishing()
	f.wordRule("protocol_version", "auto", "5", "3.1.1")
	f.textRule("retain", func(text string) string {
		if strings.Contains(text, "${!") {
			return ""
		}
		return checkWord(text, []string{"true", "false"})
	})
}

func (f fields) bootstrapServers() {
	f.textRule("bootstrap_servers", func(s string) string {
		if most := robustmq.FieldOf("bootstrap_servers").MaxLength; utf8.RuneCountInString(s) > most {
			return fmt.Sprintf("is %d characters long; the limit is %d", utf8.RuneCountInString(s), most)
		}
		return checkServers(s)
	})
}

// publishTopic checks an MQTT topic without interpolation.
func (f fields) publishTopic() {
	f.textRule("topic", func(topic string) string {
		if strings.Contains(topic, "${!") {
			return ""
		}
		if strings.ContainsAny(topic, "+#") {
			return fmt.Sprintf("%q has a wildcard; a message is published to a topic without '+' and '#'", topic)
		}
		return checkTopicText(topic)
	})
}

// checkOrderedInput checks kafka_ordered.
func checkOrderedInput(f fields) {
	f.constraints(kafka.InputConstraints)
	f.kafkaConnection(mechanisms)
	f.durationRange("metadata_max_age", time.Second, time.Hour)
	f.textRule("max_kafka_version", kafka.CheckVersion)
	f.listRule("topics", func(item string) string {
		for _, topic := range splitServers(item) {
			if what := checkKafkaTopic(topic); what != "" {
				return what
			}
		}
		return ""
	})
	f.listRule("regexp_topics_include", kafka.CheckPattern)
	f.listRule("regexp_topics_exclude", kafka.CheckPattern)
	f.textRule("consumer_group", kafka.CheckGroup)
	f.wordRule("start_offset", "earliest", "latest")
	f.wordRule("transaction_isolation_level", "read_uncommitted", "read_committed")
	f.durationRange("session_timeout", time.Second, 30*time.Minute)
	f.durationRange("rebalance_timeout", time.Second, 30*time.Minute)
	f.durationRange("heartbeat_interval", 100*time.Millisecond, 10*time.Minute)
	f.durationRange("commit_period", 10*time.Millisecond, time.Hour)
	f.durationRange("topic_lag_refresh_period", 100*time.Millisecond, time.Hour)
	f.durationRange("fetch_max_wait", 10*time.Millisecond, time.Minute)
	f.rangeRule("max_batch_messages", 1, math.MaxInt32)
	f.sizeRule("max_batch_bytes", 1, math.MaxInt32)
	f.sizeRule("max_pending_bytes", 1, math.MaxInt32)
	f.heartbeatFits()
}

// heartbeatFits compares the two durations or their defaults.
func (f fields) heartbeatFits() {
	read := func(name, otherwise string) (time.Duration, error) {
		if f.isSet(name) {
			otherwise = fmt.Sprint(f.conf[name])
		}
		return time.ParseDuration(otherwise)
	}
	beat, err := read("heartbeat_interval", "3s")
	session, err2 := read("session_timeout", "15s")
	if err == nil && err2 == nil && 3*beat > session {
		f.report("heartbeat_interval", fmt.Sprintf("%s is more than a third of session_timeout, %s", beat, session))
	}
}
