package templates

import (
	"fmt"
	"maps"

	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// failureStrategy checks the field of that name. What an unset environment
// variable leaves open counts as left out.
func (f fields) failureStrategy() {
	const name = "failure_strategy"
	value := f.conf[name]
	switch v := value.(type) {
	case nil:
		return
	case string:
		if !known(v) {
			return
		}
	case map[string]any:
		if s, ok := v["strategy"].(string); ok && !known(s) {
			return
		}
		value = maps.Clone(v)
		maps.DeleteFunc(value.(map[string]any), func(_ string, item any) bool {
			s, ok := item.(string)
			return ok && !known(s)
		})
	}
	strategy, problems := kafka.ParseStrategy(value)
	for _, p := range problems {
		f.report(p.Field, p.What)
	}
	if len(problems) > 0 {
		return
	}
	for _, server := range strategy.BootstrapServers {
		if known(server) {
			f.report(name+".bootstrap_servers", checkSeedBrokers(server))
		}
	}
	if topic, ok := f.text("topic"); ok && topic != "" && strategy.TopicName == topic && strategy.BootstrapServers == nil {
		f.report(name+".topic_name", fmt.Sprintf("%q is the topic that records are written to; name another", topic))
	}
}
