package lint

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/mqtt"
)

// The rules of this file report the same as the constructor of plugins/mqtt.

func checkMQTTInput(f fields) {
	f.listRule("topics", checkTopicFilter)
	f.mqttConnection("user")
	f.durationRules(true, "connect_timeout", "stall_warning")
	f.topicQoS()
	f.rangeRule("retain_handling", 0, 2)
	f.scalarRule("session_expiry", checkSessionExpiry)
	f.rangeRule("receive_maximum", 1, math.MaxUint16)
	f.rangeRule("topic_alias_maximum", 0, math.MaxUint16)
	f.rangeRule("max_batch_messages", 1, math.MaxInt32)
	f.sizeRule("max_batch_bytes", 1, math.MaxInt32)
	f.sizeRule("max_pending_bytes", 1, math.MaxInt32)
	f.oversizedPayload()
	suffix, _ := f.text("dynamic_client_id_suffix")
	if suffix != "" {
		f.report("dynamic_client_id_suffix", checkWord(suffix, []string{"nanoid"}))
	}
	if suffix == "nanoid" && f.conf["clean_session"] == false {
		f.report("dynamic_client_id_suffix", "makes a new client on every start, so with clean_session: false the broker keeps the old sessions and their messages without limit; remove it, or set clean_session: true")
	}
}

func (f fields) oversizedPayload() {
	f.sizeRule("max_payload_bytes", 0, math.MaxInt32)
	f.wordRule("oversized_payload", "hold", "fail")
}

func checkMQTTOutput(f fields) {
	f.mqttConnection("user")
	f.durationRules(true, "connect_timeout")
	f.rangeRule("max_in_flight", 1, math.MaxInt32)
	f.publishing()
	if n, ok := f.number("max_in_flight"); ok && n > 1 && f.isSet("failure_strategy") {
		f.report("max_in_flight", "must be 1 with failure_strategy: a batch that is held must hold every later one")
	}
}

// publishing checks the fields that the output mqtt and its template share.
func (f fields) publishing() {
	f.publishTopic()
	f.durationRules(true, "write_timeout", "ack_timeout")
	f.rangeRule("max_in_flight_publishes", 1, math.MaxUint16)
	f.rangeRule("topic_alias_maximum", 0, math.MaxUint16)
	if f.isSet("session_expiry") {
		f.scalarRule("session_expiry", checkSessionExpiry)
	}
	f.scalarRule("qos_interpolated", func(qos string) string {
		if strings.Contains(qos, "${!") || slices.Contains([]string{"", "0", "1", "2"}, qos) {
			return ""
		}
		return fmt.Sprintf("%q is no QoS; must be 0, 1 or 2", qos)
	})
	f.failureStrategyBy(mqtt.ParseStrategy)
	f.deadLetterKafka()
}

// deadLetterKafka checks how the Kafka of dead letters is reached.
func (f fields) deadLetterKafka() {
	const name = "dead_letter_kafka"
	access, ok := f.inner(name, f.conf[name])
	if !ok {
		return
	}
	access.tls()
	access.sasl(mechanisms)
	for _, given := range slices.Sorted(maps.Keys(access.conf)) {
		if given != "tls" && given != "sasl" {
			access.report(given, "is unknown; must be one of tls, sasl")
		}
	}
	strategy, isObject := f.conf["failure_strategy"].(map[string]any)
	if isUnset(f.conf["failure_strategy"]) || isObject && strategy["bootstrap_servers"] != nil {
		return
	}
	if tls, _ := access.inner("tls", access.conf["tls"]); tls.boolean("enabled") || len(access.list("sasl")) > 0 {
		f.report(name, mqtt.NeedsLetterServers)
	}
}

// topicQoS checks the QoS of single filters, each of which must be in topics.
func (f fields) topicQoS() {
	const name = "topic_qos"
	single, ok := f.inner(name, f.conf[name])
	if !ok {
		return
	}
	topics := f.list("topics")
	judged := !slices.ContainsFunc(topics, func(item any) bool {
		_, ok := item.(string)
		return !ok
	})
	for _, filter := range slices.Sorted(maps.Keys(single.conf)) {
		if judged && !slices.Contains(topics, any(filter)) {
			f.report(name, fmt.Sprintf("%q is not one of topics", filter))
		}
		what := checkType(single.conf[filter], "int")
		if n, ok := single.number(filter); ok {
			what = checkRange(n, 0, 2)
		}
		if what != "" {
			f.report(name, fmt.Sprintf("%q: %s", filter, what))
		}
	}
}

// checkWill checks the last will of the mqtt components.
func (f fields) checkWill() {
	will, ok := f.inner("will", f.conf["will"])
	if !ok {
		return
	}
	will.rangeRule("qos", 0, 2)
	if topic, _ := will.conf["topic"].(string); topic == "" && will.boolean("enabled") {
		will.report("topic", "is empty; give the topic of the last will, or set will.enabled: false")
	}
}
