package lint

import (
	"fmt"
	"maps"

	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// failureStrategy checks the field of that name. A part that depends on an unset
// environment variable counts as not set.
func (f fields) failureStrategy() { f.failureStrategyBy(kafka.ParseStrategy) }

// failureStrategyBy is failureStrategy for an output with another reader of the field.
func (f fields) failureStrategyBy(parse func(any) (kafka.Strategy, []kafka.StrategyProblem)) {
	const name = "failure_strategy"
	value := f.conf[name]
	if object, ok := value.(map[string]any); ok {
		if isUnset(object["strategy"]) {
			return
		}
		object = maps.Clone(object)
		maps.DeleteFunc(object, func(_ string, item any) bool { return isUnset(item) })
		value = object
	} else if value == nil || isUnset(value) {
		return
	}
	strategy, problems := parse(value)
	for _, p := range problems {
		f.report(p.Field, p.What)
	}
	if len(problems) > 0 {
		return
	}
	for _, server := range strategy.BootstrapServers {
		f.report(name+".bootstrap_servers", checkSeedBrokers(server))
	}
	if topic, ok := f.text("topic"); ok && topic != "" && strategy.TopicName == topic && strategy.BootstrapServers == nil {
		f.report(name+".topic_name", fmt.Sprintf("%q is the topic that the output writes to; name another", topic))
	}
}
