package kafka

import (
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// LetterKey is the name of a header of a dead letter, which is also the name of the
// metadata that Letterbox makes headers of. Its name is one of the constants.
func LetterKey(name string) string { return letterPrefix + name }

// The names of the headers of dead letters that other outputs write too.
const (
	LetterTopic     = letterTopic
	LetterSource    = letterSource
	LetterComponent = letterComponent
	LetterReason    = letterReason
)

// Letterbox returns an output that writes the dead letters of an output of another kind
// to a topic of Kafka, with the defaults of kafka_franz. The payload of a message is the
// value of its record, and metadata that begin with LetterKey("") are the headers.
// The caller drives it as the engine does: Connect, WriteBatch, and Close at the end.
func Letterbox(servers []string, topic string, mgr *service.Resources, opts ...Option) (service.BatchOutput, error) {
	text, err := yaml.Marshal(map[string]any{
		fieldSeedBrokers: servers, fieldTopic: topic,
		fieldMetadata: map[string]any{"include_prefixes": []string{letterPrefix}},
	})
	if err != nil {
		return nil, fmt.Errorf("configuring the dead letters: %w", err)
	}
	conf, err := Spec().ParseYAML(string(text), nil)
	if err != nil {
		return nil, fmt.Errorf("configuring the dead letters: %w", err)
	}
	c, err := parseConfig(conf, opts...)
	if err != nil {
		return nil, fmt.Errorf("configuring the dead letters: %w", err)
	}
	c.guard = crash.Of(mgr)
	return newOutput(c, mgr), nil
}
