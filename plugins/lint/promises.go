package lint

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// promises warns about settings that break a promise of this program: that every
// message of the MQTT broker is in Kafka, in order, and without repetition except after
// a crash. It checks pipelines from MQTT to Kafka. The tests in
// tests/promises_*_test.go reproduce each loss that it warns about.
func (f *finder) promises() {
	p := promises{finder: f}
	for _, c := range f.components {
		switch {
		case c.kind == "input" && (c.name == "mqtt" || c.name == "robustmq_kafka") && c.has():
			p.sources = append(p.sources, c)
		case c.kind == "output" && (c.name == "kafka_franz" || c.name == "robustmq_kafka") && c.has():
			p.sinks = append(p.sinks, c)
		}
	}
	if len(p.sources) == 0 || len(p.sinks) == 0 {
		return
	}
	p.pipeline()
	p.sessions()
	for _, c := range p.sources {
		p.source(c)
	}
	for _, c := range p.sinks {
		p.sink(c)
	}
	for _, c := range f.components {
		switch c.kind + " " + c.name {
		case "output broker":
			p.broker(c)
		case "output switch":
			p.switches(c)
		case "processor dedupe":
			p.dedupe(c)
		case "processor group_by_value", "processor group_by":
			p.groupBy(c)
		}
	}
}

type promises struct {
	*finder
	sources, sinks []*component
}

// warn adds a warning about a field of a component, which need not be set.
func (p promises) warn(c *component, path, format string, args ...any) {
	n := c.conf
	field := strings.Fields(path)
	if len(field) > 0 {
		n = c.conf.follow(field)
	}
	p.add(n, append(c.conf.path[:len(c.conf.path):len(c.conf.path)], field...), strings.Join(field, "."), fmt.Sprintf(format, args...))
	p.findings[len(p.findings)-1].Warning = true
}

// has reports whether the component has fields.
func (c *component) has() bool { return c.conf != nil && c.conf.kind == yaml.MappingNode }

// text returns a field's value as written, or otherwise. isKnown is false if it depends
// on a variable without a value.
func (c *component) text(name, otherwise string) (value string, isKnown bool) {
	n := c.conf.member(name)
	if n == nil || n.isNull() {
		return otherwise, true
	}
	return n.value, !n.unset
}

// hasValue reports whether a field has one of the values, set or by default.
func (c *component) hasValue(name, otherwise string, values ...string) bool {
	value, isKnown := c.text(name, otherwise)
	return isKnown && slices.Contains(values, value)
}

// hasStrategy reports whether a Kafka output has a failure strategy, so that it never
// rejects a message.
func (c *component) hasStrategy() bool {
	n := c.conf.member("failure_strategy")
	return c.name == "robustmq_kafka" || n != nil && !n.isNull()
}

// rejects reports whether a message that Kafka refuses may be rejected to the input.
func (p promises) rejects() bool {
	return slices.ContainsFunc(p.sinks, func(c *component) bool {
		return !c.hasStrategy() && !isBeforeLast(c)
	})
}

// isBeforeLast reports whether a fallback has another output after this one.
func isBeforeLast(c *component) bool {
	above := c.parent
	return above != nil && above.kind == "output" && above.name == "fallback" &&
		len(above.conf.items) > 0 && above.conf.items[len(above.conf.items)-1] != c.whole
}

// pipeline checks what is between input and output.
func (p promises) pipeline() {
	p.threads()
	for _, c := range p.components {
		if c.kind == "buffer" && c.name == "memory" && c.conf != nil {
			p.warn(c, "", "memory acknowledges messages to the broker before Kafka has them, so that a crash loses what it holds; remove the buffer: the broker itself holds messages while Kafka is unavailable")
		}
	}
}

// threads checks that processors keep the order.
func (p promises) threads() {
	whole := p.root.member("pipeline")
	threads, processors := whole.member("threads"), whole.member("processors")
	if threads != nil && !threads.unset && threads.value != "1" && processors != nil && len(processors.items) > 0 {
		p.addAt(threads, "lets messages of one topic overtake each other in the processors; write 1 to keep their order")
		p.findings[len(p.findings)-1].Warning = true
	}
}

// source checks an MQTT input.
func (p promises) source(c *component) {
	isStock := c.name == "mqtt"
	clean := "false"
	if isStock {
		clean = "true"
	}
	switch {
	case c.hasValue("qos", "1", "0") && c.conf.member("topic_qos") == nil:
		// The QoS itself says that messages may be lost.
	case c.hasValue("clean_session", clean, "true"):
		advice := "write clean_session: false"
		if c.conf.member("client_id") == nil && isStock {
			advice += " and a client_id that no other client uses"
		}
		how := "lets"
		if c.conf.member("clean_session") == nil {
			how = "is true by default and lets"
		}
		p.warn(c, "clean_session", "%s the broker drop messages that arrive while the pipeline is down; %s", how, advice)
	case isStock && c.hasValue("clean_session", clean, "false") && c.hasValue("client_id", "", ""):
		p.warn(c, "client_id", "is empty, so the broker chooses one, and a restart does not find its session with its messages; give a client_id that no other client uses")
	}
	if c.hasValue("auto_replay_nacks", "true", "false") && p.rejects() {
		p.warn(c, "auto_replay_nacks", "makes the broker repeat every message after one that Kafka refuses, each time; remove it, or give kafka_franz a failure_strategy, such as block")
	}
}

// sessions checks MQTT inputs that use the same client id.
func (p promises) sessions() {
	seen := map[string]*component{}
	for _, c := range p.sources {
		if above := c.parent; above != nil && above.name == "broker" && !above.hasValue("copies", "1", "0", "1") {
			p.warn(above, "copies", "starts the MQTT input several times under one client id, so that each disconnects the other; remove it: one input fills the pipeline")
			continue
		}
		id, known := c.text("client_id", "")
		key := id
		if id == "" {
			if c.name == "mqtt" {
				continue // the broker chooses one for each
			}
			label := ""
			if c.label != nil {
				label = c.label.value
			}
			filter, _ := c.text("topic_id", "")
			user, _ := c.text("username", "")
			key = strings.Join([]string{"", filter, user, label}, "\x00")
		}
		if suffix := c.conf.member("dynamic_client_id_suffix"); !known || suffix != nil && suffix.value != "" {
			continue
		}
		for _, url := range brokersOf(c) {
			other := seen[key+"\x00"+url]
			if other != nil && other != c {
				p.warn(c, "client_id", "is also that of the input at line %d at the same broker, so that each disconnects the other; give each input its own client_id", other.conf.at.line)
				break
			}
			seen[key+"\x00"+url] = c
		}
	}
}

// brokersOf returns the URLs of an MQTT component.
func brokersOf(c *component) []string {
	list := c.conf.member("urls")
	if list == nil {
		return []string{defaultBrokerURL}
	}
	var urls []string
	for _, item := range list.items {
		urls = append(urls, item.value)
	}
	return urls
}

// sink checks a Kafka output.
func (p promises) sink(c *component) {
	for _, notice := range Notices(c.name, p.valueOf(c.conf).(map[string]any)) {
		p.warn(c, notice.Path, "%s", notice.What)
	}
	if c.hasStrategy() && isBeforeLast(c) {
		p.warn(c, "failure_strategy", "makes the later outputs of the fallback useless, because an output with a failure strategy waits for Kafka, discards or writes dead letters, but never fails; write failure_strategy: dead_message_queue and no fallback, or kafka_franz without one")
	}
	if c.name != "kafka_franz" {
		return
	}
	if n, isKnown := c.text("max_in_flight", "1"); isKnown && n != "1" {
		p.warn(c, "max_in_flight", "lets batches overtake each other; remove it, or write 1, to keep the order")
	}
	if !c.hasStrategy() && batches(c.conf.member("batching")) {
		p.warn(c, "batching", "without a failure_strategy makes a message that Kafka refuses repeat the other messages of its batch, again and again; add failure_strategy: block, or remove batching: batches need no timer here")
	}
}

// batches reports whether a batch policy is set.
func batches(policy *node) bool {
	if policy == nil || policy.kind != yaml.MappingNode {
		return false
	}
	for i, key := range policy.keys {
		switch value := policy.items[i].value; key.value {
		case "count":
			if value != "0" && value != "1" {
				return true
			}
		case "byte_size", "period", "check":
			if value != "" && value != "0" {
				return true
			}
		}
	}
	return false
}

// childrenOf returns the Kafka outputs directly inside another output.
func (p promises) childrenOf(c *component) []*component {
	return slices.DeleteFunc(slices.Clone(p.sinks), func(sink *component) bool { return sink.parent != c })
}

func (p promises) broker(c *component) {
	if !c.has() {
		return
	}
	sinks := p.childrenOf(c)
	outputs := c.conf.member("outputs")
	if len(sinks) == 0 || outputs == nil || len(outputs.items) == 1 && c.hasValue("copies", "1", "0", "1") {
		return
	}
	pattern, _ := c.text("pattern", "fan_out")
	switch pattern {
	case "round_robin", "greedy":
		p.warn(c, "pattern", "spreads the messages of one topic over outputs that do not wait for each other, so that their order is lost; write one output, which fills Kafka's connections by itself")
	case "fan_out_fail_fast", "fan_out_sequential_fail_fast":
		if i := slices.IndexFunc(sinks, func(sink *component) bool { return !sink.hasStrategy() }); i >= 0 {
			p.warn(c, "pattern", "writes a message that one output refuses to the others again and again; give every kafka_franz a failure_strategy, such as block")
		}
	case "fan_out", "fan_out_sequential":
		for _, sink := range sinks {
			if !sink.hasStrategy() {
				p.warn(sink, "failure_strategy", "is missing, so a message that Kafka refuses is retried without end in a broker and holds every output, while the pipeline stays ready; write failure_strategy: block, which says so, or dead_message_queue")
			}
		}
	}
	if batches(c.conf.member("batching")) && slices.ContainsFunc(sinks, func(sink *component) bool { return !sink.hasStrategy() }) {
		p.warn(c, "batching", "without a failure_strategy in every kafka_franz makes a message that Kafka refuses repeat the other messages of its batch, again and again; add failure_strategy: block, or remove batching")
	}
}

func (p promises) switches(c *component) {
	p.uncovered(c, "drop a message that matches none of their checks, and acknowledge it to the broker; end with a case without check, or write strict_mode: true")
}

// uncovered warns if a message may match no case.
func (p promises) uncovered(c *component, what string) {
	if !c.has() || c.hasValue("strict_mode", "false", "true") {
		return
	}
	cases := c.conf.member("cases")
	if cases == nil {
		return
	}
	for _, one := range cases.items {
		if check := one.member("check"); check == nil || check.value == "" || check.unset {
			return
		}
	}
	p.warn(c, "cases", "%s", what)
}

// isInMemory reports whether the cache of a deduplication ends with the process.
func (p promises) isInMemory(c *component) bool {
	label, _ := c.text("cache", "")
	return slices.ContainsFunc(p.components, func(cache *component) bool {
		return cache.kind == "cache" && cache.label != nil && cache.label.value == label && slices.Contains([]string{"memory", "lru", "ttlru"}, cache.name)
	})
}

// dedupe warns if a deduplication drops a message that is redelivered because Kafka did
// not get it.
func (p promises) dedupe(c *component) {
	if !c.has() {
		return
	}
	switch {
	case !p.isInMemory(c):
		p.warn(c, "cache", "outlives the process, so that a message that was not in Kafka yet when it crashed is dropped as a duplicate when the broker sends it again; use a cache of type memory, lru or ttlru")
	case p.rejects():
		p.warn(c, "", "drops a message that Kafka refuses as a duplicate of itself when it is tried again; give every kafka_franz a failure_strategy, such as block")
	}
}

func (p promises) groupBy(c *component) {
	if c.conf == nil || mentions(c.conf, "mqtt_topic") {
		return
	}
	p.warn(c, "", "changes the order of the messages of a topic that are in different groups; group by ${! @mqtt_topic }, or leave the grouping to the key of the records")
}

// mentions reports whether a value contains a text.
func mentions(n *node, text string) bool {
	return strings.Contains(n.value, text) || slices.ContainsFunc(n.items, func(inner *node) bool { return mentions(inner, text) })
}

// Notices returns what a legal configuration of a Kafka output gives up.
func Notices(name string, conf map[string]any) []Problem {
	const (
		nothing = "makes Kafka acknowledge nothing, so that messages are lost without notice when Kafka is unavailable or refuses them; write acks: all"
		leader  = "lets messages be lost if the leader fails before its replicas have them; write acks: all"
	)
	what := map[string]string{"robustmq_kafka 0": nothing, "robustmq_kafka 1": leader, "kafka_franz none": nothing, "kafka_franz leader": leader}
	if text := what[name+" "+fmt.Sprint(conf["acks"])]; text != "" {
		return []Problem{{Path: "acks", What: text}}
	}
	return nil
}
