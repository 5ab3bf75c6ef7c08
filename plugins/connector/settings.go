package connector

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/robustmq"
	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// MQTTFields are the fields of the input template robustmq_kafka that a connector's
// config may have, by their names there. Both templates have tls: in a config it is
// Kafka's, and mqtt_tls is that of MQTT.
var MQTTFields = []string{
	"urls", "client_id", "username", "password", "qos", "clean_session", "keepalive", "connect_timeout", "mqtt_tls", fieldBuffer,
}

// kafkaFields are the fields of the output template in addition to RobustMQ's own.
var kafkaFields = []string{"idempotent_write", "format", "tls", "sasl"}

// Setting is one field of a template.
type Setting struct {
	Name  string          // as the template has it
	Value json.RawMessage // JSON without an environment reference
}

// Settings are fields of a template in the order given.
type Settings []Setting

// Get returns the value of a field, nil if it is not set.
func (s Settings) Get(name string) json.RawMessage {
	for _, setting := range s {
		if setting.Name == name {
			return setting.Value
		}
	}
	return nil
}

// Text returns the string in a field, "" if it is not set or not a string.
func (s Settings) Text(name string) string {
	var text string
	if json.Unmarshal(s.Get(name), &text) != nil {
		return ""
	}
	return text
}

// With returns s with the fields of more, which take precedence.
func (s Settings) With(more Settings) Settings {
	all := slices.Clone(s)
	for _, setting := range more {
		at := slices.IndexFunc(all, func(o Setting) bool { return o.Name == setting.Name })
		if at < 0 {
			all = append(all, setting)
		} else {
			all[at] = setting
		}
	}
	return all
}

// Without returns s without some fields.
func (s Settings) Without(names ...string) Settings {
	return slices.DeleteFunc(slices.Clone(s), func(o Setting) bool { return slices.Contains(names, o.Name) })
}

// settings reads those of the named fields that are given, unchanged. mqtt_tls becomes
// tls, its name in the template.
func (r *reader) settings(names []string) Settings {
	var all Settings
	for _, name := range names {
		raw := r.raw(name)
		if raw == nil {
			continue
		}
		if err := checkSetting(name, raw); err != nil {
			var inner *InvalidError
			if errors.As(err, &inner) {
				r.fail(inner.Field, "%s", inner.Why)
			} else {
				r.fail(name, "%s", err)
			}
			return nil
		}
		all = append(all, Setting{Name: strings.TrimPrefix(name, "mqtt_"), Value: raw})
	}
	return all
}

func checkSetting(name string, raw json.RawMessage) error {
	v, err := readValue(raw)
	if err != nil {
		return err
	}
	if name == fieldBuffer {
		if err := checkBuffer(v); err != nil {
			return err
		}
	}
	return v.walk([]string{name}, func(path []string, scalar *value) error {
		s, isText := scalar.text()
		field := strings.Join(path, ".")
		for _, part := range append(path[1:len(path):len(path)], s) {
			if strings.Contains(part, "${") {
				if secret.Is(path) {
					part = secret.Redacted
				}
				return &InvalidError{field, fmt.Sprintf("%q holds ${, which a pipeline would replace: use a value without it", part)}
			}
		}
		if name != "urls" || !isText {
			return nil
		}
		for _, one := range strings.Split(s, ",") {
			if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.User != nil {
				return &InvalidError{field, fmt.Sprintf("%q holds a login: give it as username and password", u.Redacted())}
			}
		}
		return nil
	})
}

// ConfigFields are the names of all fields that the config of a connector may have.
func ConfigFields() []string {
	var all []string
	for _, f := range robustmq.Fields {
		all = append(all, f.Name)
	}
	return append(append(append(all, kafkaFields...), MQTTFields...), "parallelism")
}
