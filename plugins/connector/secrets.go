package connector

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// RedactConfig returns a config with *** in place of each secret. A config that is not
// JSON, which Parse refuses, is not shown at all.
func RedactConfig(config json.RawMessage) json.RawMessage {
	v, err := readValue(config)
	if err != nil {
		v = &value{}
		v.setText(secret.Redacted)
	}
	_ = v.walk(nil, func(path []string, scalar *value) error {
		if scalar.isGiven() && secret.Is(path) {
			scalar.setText(secret.Redacted)
		}
		return nil
	})
	// It was read as JSON, so this cannot fail.
	out, _ := v.MarshalJSON()
	return out
}

// Redact returns c with *** in place of each secret.
func Redact(c Connector) Connector {
	c.Config = RedactConfig(c.Config)
	_ = c.readConfig() // Parse has read it with other secrets
	return c
}

// Variable is an environment variable from which an exported pipeline reads a secret.
type Variable struct {
	Name  string // of the variable
	Field string // of the config, for example sasl.0.password
}

// Export renders c like Pipeline, without secrets: each is read from an environment
// variable. The value of each variable is inserted between double quotes in YAML, so it
// needs a \ before each " and \.
func Export(c Connector) (document []byte, notes []string, variables []Variable) {
	export := func(settings Settings, prefix string) Settings {
		out := slices.Clone(settings)
		for i, s := range out {
			v, err := readValue(s.Value)
			if err != nil {
				continue // Parse refuses such a value
			}
			_ = v.walk([]string{s.Name}, func(path []string, scalar *value) error {
				if scalar.isGiven() && secret.Is(path) {
					name := variableName(prefix, path, variables)
					variables = append(variables, Variable{Name: name, Field: strings.Join(path, ".")})
					scalar.setText("${" + name + "}")
				}
				return nil
			})
			out[i].Value, _ = v.MarshalJSON() // it was read as JSON
		}
		return out
	}
	c.MQTT = export(c.MQTT, "MQTT")
	c.Kafka.More = export(c.Kafka.More, "KAFKA")
	document, notes = Pipeline(c)
	return document, notes, variables
}

// notInVariables matches characters that the name of an environment variable in a
// pipeline must not have.
var notInVariables = regexp.MustCompile(`[^A-Z0-9_]`)

// variableName converts password to MQTT_PASSWORD, and sasl.0.password to
// KAFKA_SASL_PASSWORD.
func variableName(prefix string, path []string, taken []Variable) string {
	words := []string{prefix}
	for _, step := range path {
		if _, err := strconv.Atoi(step); err != nil {
			words = append(words, notInVariables.ReplaceAllString(strings.ToUpper(step), "_"))
		}
	}
	name := strings.Join(words, "_")
	free := name
	for i := 2; slices.ContainsFunc(taken, func(v Variable) bool { return v.Name == free }); i++ {
		free = name + "_" + strconv.Itoa(i)
	}
	return free
}
