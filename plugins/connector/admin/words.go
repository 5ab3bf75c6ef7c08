package admin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/robustmq/robustmq-connect/plugins/robustmq"
)

// kafkaWords reports in RobustMQ's words what is wrong with Kafka settings that Parse
// refused, in RobustMQ's order. It returns "" if RobustMQ has no words: then Parse's
// error is used.
func kafkaWords(config json.RawMessage) string {
	given, err := kafkaSettings(config)
	if err != nil {
		return ""
	}
	// RobustMQ checks numbers last.
	for _, judge := range []func(robustmq.Field, settings) string{textWords, numberWords} {
		for _, f := range robustmq.Fields {
			if words := judge(f, given); words != "" {
				return words
			}
		}
	}
	return ""
}

// settings are the fields of a connector's config.
type settings map[string]json.RawMessage

func (s settings) text(name string) (text string, ok bool) {
	value, given := s[name]
	return text, given && string(value) != "null" && json.Unmarshal(value, &text) == nil
}

// kafkaSettings reads the settings inside a JSON string and inside {"Kafka":{…}}.
func kafkaSettings(config json.RawMessage) (settings, error) {
	var text string
	if json.Unmarshal(config, &text) == nil {
		config = json.RawMessage(text)
	}
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return nil, err
	}
	if len(s) == 1 {
		for name, inner := range s {
			var wrapped settings
			if strings.EqualFold(name, "kafka") && json.Unmarshal(inner, &wrapped) == nil {
				return wrapped, nil
			}
		}
	}
	return s, nil
}

func textWords(f robustmq.Field, given settings) string {
	text, ok := given.text(f.Name)
	switch {
	case !ok:
		return ""
	case f.Required && text == "":
		return f.Name + " cannot be empty"
	case f.MaxLength > 0 && utf8.RuneCountInString(text) > f.MaxLength:
		return fmt.Sprintf("%s length cannot exceed %d characters", f.Name, f.MaxLength)
	case len(f.Words) > 0 && !slices.Contains(f.Words, text):
		return fmt.Sprintf("Invalid %s '%s', must be one of: %s", f.Name, text, strings.Join(f.Words, ", "))
	}
	return ""
}

func numberWords(f robustmq.Field, given settings) string {
	value, ok := given[f.Name]
	var n int64
	if f.Max == 0 || !ok || string(value) == "null" || json.Unmarshal(value, &n) != nil {
		return ""
	}
	if n < int64(f.RobustMQMin) || n > int64(f.Max) {
		return f.OutOfRange
	}
	return ""
}
