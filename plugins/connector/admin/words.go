package admin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// kafkaWords says with RobustMQ's words what is wrong with Kafka settings that
// Parse refused, in RobustMQ's order. It is empty where RobustMQ has none: Parse
// decides, and has the words then.
func kafkaWords(config json.RawMessage) string {
	given, err := kafkaSettings(config)
	if err != nil {
		return ""
	}
	for _, rule := range []func(settings) string{
		nonEmpty("bootstrap_servers"), atMost("bootstrap_servers", 1024),
		nonEmpty("topic"), atMost("topic", 256), atMost("key", 256),
		oneOf("compression_type", "none", "gzip", "snappy", "lz4", "zstd"),
		oneOf("acks", "0", "1", "all", "-1"),
		inRange("batch_size", 1, 1048576, "batch_size must be between 1 and 1048576 bytes"),
		inRange("linger_ms", 0, 60000, "linger_ms cannot exceed 60000 (60 seconds)"),
		inRange("retries", 0, 100, "retries cannot exceed 100"),
		inRange("message_timeout_ms", 1000, 300000, "message_timeout_ms must be between 1000 (1s) and 300000 (5min)"),
		inRange("cleanup_timeout_secs", 0, 300, "cleanup_timeout_secs cannot exceed 300 seconds"),
	} {
		if words := rule(given); words != "" {
			return words
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

// kafkaSettings takes the settings out of a JSON string and out of {"Kafka":{…}}.
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

func nonEmpty(name string) func(settings) string {
	return func(s settings) string {
		if text, ok := s.text(name); ok && text == "" {
			return name + " cannot be empty"
		}
		return ""
	}
}

func atMost(name string, most int) func(settings) string {
	return func(s settings) string {
		if text, ok := s.text(name); ok && utf8.RuneCountInString(text) > most {
			return fmt.Sprintf("%s length cannot exceed %d characters", name, most)
		}
		return ""
	}
}

func oneOf(name string, words ...string) func(settings) string {
	return func(s settings) string {
		if text, ok := s.text(name); ok && !slices.Contains(words, text) {
			return fmt.Sprintf("Invalid %s '%s', must be one of: %s", name, text, strings.Join(words, ", "))
		}
		return ""
	}
}

func inRange(name string, least, most int64, words string) func(settings) string {
	return func(s settings) string {
		var n int64
		if value, given := s[name]; given && json.Unmarshal(value, &n) == nil && string(value) != "null" && (n < least || n > most) {
			return words
		}
		return ""
	}
}
