package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/robustmq"
)

const (
	defaultBrokerURL = "tcp://localhost:1883"
	// templateName is the name of the input template and of the output template.
	templateName = "robustmq_kafka"
)

// ruleSet names the components whose values are checked: the templates, and the
// components that they use.
type ruleSet struct {
	// kind and name are the component's type and name as users type them.
	kind, name string
	check      func(fields)
	// ours marks a component of this program, whose rules replace the lint rule that it
	// uses at runs.
	ours bool
}

var ruleSets = []ruleSet{
	{kind: "input", name: templateName, check: checkInputTemplate},
	{kind: "output", name: templateName, check: checkOutputTemplate},
	{kind: "input", name: "robustmq_kafka_source", check: checkSourceTemplate},
	{kind: "output", name: "robustmq_mqtt", check: checkMQTTTemplate},
	{kind: "input", name: "mqtt", check: checkMQTTInput},
	{kind: "input", name: "disk_buffer", check: checkDiskBuffer},
	{kind: "output", name: "mqtt", check: checkMQTTOutput},
	{kind: "input", name: "kafka_franz", check: checkKafkaInput},
	{kind: "input", name: "kafka_ordered", check: checkOrderedInput, ours: true},
	{kind: "output", name: "kafka_franz", check: checkKafkaOutput, ours: true},
	{kind: "processor", name: "robustmq_envelope", check: checkEnvelope, ours: true},
}

// Problems returns the problems that the rules of this package find in a component's
// configuration. Files need not exist.
func Problems(kind, name string, conf map[string]any) []Problem {
	if check := ruleSetOf(kind, name); check != nil {
		return problemsOf(check, conf, true)
	}
	return nil
}

// ruleSetOf returns the rules of a component, or nil if there are none.
func ruleSetOf(kind, name string) func(fields) {
	for _, rules := range ruleSets {
		if rules.kind == kind && rules.name == name {
			return rules.check
		}
	}
	return nil
}

func problemsOf(check func(fields), conf map[string]any, skipFiles bool) []Problem {
	var problems []Problem
	check(fields{conf: conf, skipFiles: skipFiles, problems: &problems})
	return problems
}

func checkInputTemplate(f fields) {
	f.textRule("topic_id", checkTopicFilter)
	f.mqttConnection("username")
	f.durationRules(false, "connect_timeout")
	f.oversizedPayload()
	f.templateBuffer()
}

func checkOutputTemplate(f fields) {
	f.bootstrapServers()
	f.kafkaTopicRule()
	f.wordRule("format", envelope.Formats...)
	for _, field := range robustmq.Fields {
		switch {
		case len(field.Words) > 0:
			f.wordRule(field.Name, field.Words...)
		case field.Max > 0:
			f.rangeRule(field.Name, int64(field.Min), int64(field.Max))
		}
	}
	if acks := fmt.Sprint(f.conf["acks"]); (acks == "0" || acks == "1") && f.conf["idempotent_write"] != false && !isUnset(f.conf["idempotent_write"]) {
		f.report("acks", acks+" can lose messages and needs idempotent_write: false; remove acks to lose none")
	}
	f.failureStrategy()
	f.tls()
	f.sasl(mechanisms)
}

// checkEnvelope checks the fields without interpolation.
func checkEnvelope(f fields) {
	f.constraints(envelope.Constraints)
	for _, name := range slices.Sorted(maps.Keys(f.conf)) {
		f.textRule(name, func(text string) string {
			if strings.Contains(text, "${!") {
				return ""
			}
			if err := envelope.CheckField(name, text); err != nil {
				return err.Error()
			}
			return ""
		})
	}
}

// engineProblems returns problems with the engine's own settings in a whole pipeline,
// as far as the engine itself would find them late or never.
func engineProblems(conf map[string]any) []Problem {
	var problems []Problem
	f := fields{conf: conf, problems: &problems}
	f.durationRules(true, "shutdown_timeout", "shutdown_delay")
	if http, ok := f.inner("http", conf["http"]); ok {
		http.textRule("address", func(address string) string {
			if strings.HasPrefix(address, ":") {
				return checkPort(address, address[1:])
			}
			return checkHostPort(address, "4195")
		})
	}
	if logger, ok := f.inner("logger", conf["logger"]); ok {
		logger.textRule("level", func(level string) string {
			return checkWord(strings.ToUpper(level), []string{"OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL", "NONE"})
		})
		logger.wordRule("format", "json", "logfmt")
	}
	return problems
}
