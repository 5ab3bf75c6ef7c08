package connector

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// RedactConfig is a config with *** in the place of each secret. What is no
// JSON, and so nothing that Parse took, is not shown at all.
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
	// It was read as JSON.
	out, _ := v.MarshalJSON()
	return out
}

// Redact is c with *** in the place of each secret.
func Redact(c Connector) Connector {
	c.Config = RedactConfig(c.Config)
	_ = c.readConfig() // Parse has read it with other secrets
	return c
}

// Variable is an environment variable that an exported pipeline takes a secret
// from.
type Variable struct {
	Name  string // of the variable
	Field string // of the config, for example sasl.0.password
}

// Export renders c as Pipeline does, for a file that holds no secret: each is
// taken from an environment variable. A value must be given to each of them as it
// stands between double quotes in YAML, that is with \ before a " and a \.
func Export(c Connector) (document []byte, notes []string, variables []Variable) {
	export := func(settings Settings, prefix string) Settings {
		out := slices.Clone(settings)
		for i, s := range out {
			v, err := readValue(s.Value)
			if err != nil {
				continue // Parse takes no such value
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

// notInVariables are the characters that the name of an environment variable in a
// pipeline does not have.
var notInVariables = regexp.MustCompile(`[^A-Z0-9_]`)

// variableName makes MQTT_PASSWORD of password, and KAFKA_SASL_PASSWORD of
// sasl.0.password.
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
