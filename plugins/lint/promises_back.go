package lint

import (
	"slices"
)

// backPromises warns about settings that break a promise of the way from Kafka to MQTT:
// that every record is published, and those of a partition in order.
func (f *finder) backPromises() {
	p := promises{finder: f}
	for _, c := range f.components {
		switch {
		case c.kind == "input" && slices.Contains([]string{"kafka_franz", "kafka_ordered", "robustmq_kafka_source"}, c.name) && c.has():
			p.sources = append(p.sources, c)
		case c.kind == "output" && (c.name == "mqtt" || c.name == "robustmq_mqtt") && c.has():
			p.sinks = append(p.sinks, c)
		}
	}
	if len(p.sources) == 0 || len(p.sinks) == 0 {
		return
	}
	p.threads()
	for _, c := range p.sources {
		if c.name == "kafka_franz" && c.conf.member("consumer_group") != nil {
			p.warn(c, "consumer_group", "makes two bridges publish the messages of one key at the same time when partitions move, and lets later messages overtake a rejected one; use the input kafka_ordered")
		}
	}
	p.publishers()
	for _, c := range p.components {
		switch c.kind + " " + c.name {
		case "buffer memory":
			if c.conf != nil {
				p.warn(c, "", "memory commits records before the MQTT broker has their messages, so that a crash loses what it holds; remove the buffer: Kafka itself holds records while the broker is unavailable")
			}
		case "output broker":
			if pattern, _ := c.text("pattern", "fan_out"); c.has() && len(p.childrenOf(c)) > 0 && (pattern == "round_robin" || pattern == "greedy") {
				p.warn(c, "pattern", "spreads the messages of one topic over outputs that do not wait for each other, so that their order is lost; write one output, which has many messages in flight by itself")
			}
		case "output switch":
			p.uncovered(c, "drop a message that matches none of their checks, and commit its record; end with a case without check, or write strict_mode: true")
		case "processor dedupe":
			if c.has() && !p.isInMemory(c) {
				p.warn(c, "cache", "outlives the process, so that a message that was not published yet when it crashed is dropped as a duplicate when Kafka hands its record over again; use a cache of type memory, lru or ttlru")
			}
		}
	}
}

// publishers checks the outputs to MQTT.
func (p promises) publishers() {
	seen := map[string]*component{}
	for _, c := range p.sinks {
		isTemplate := c.name == "robustmq_mqtt"
		id, isKnown := c.text("client_id", "")
		switch suffix := c.conf.member("dynamic_client_id_suffix"); {
		case !isKnown || suffix != nil && suffix.value != "":
		case id == "" && c.hasValue("clean_session", "true", "false"):
			p.warn(c, "client_id", "is empty, so the broker chooses one, and the session of clean_session: false is not found again; give a client_id that no other client uses")
		case id != "":
			for _, url := range brokersOf(c) {
				if other := seen[id+"\x00"+url]; other != nil && other != c {
					p.warn(c, "client_id", "is also that of the output at line %d at the same broker, so that each disconnects the other; give each output its own client_id", other.conf.at.line)
					break
				}
				seen[id+"\x00"+url] = c
			}
		}
		if n, isKnown := c.text("max_in_flight", "1"); isKnown && n != "1" && !isTemplate {
			p.warn(c, "max_in_flight", "lets batches overtake each other; remove it, or write 1, to keep the order: all messages of a batch are in flight together")
		}
		strategy := c.conf.member("failure_strategy")
		if isBeforeLast(c) && (isTemplate || strategy != nil && !strategy.isNull()) {
			p.warn(c, "failure_strategy", "makes the later outputs of the fallback useless, because an output with a failure strategy waits for the broker, discards or writes dead letters, but never fails; write failure_strategy: dead_message_queue and no fallback, or mqtt without one")
		}
	}
}
