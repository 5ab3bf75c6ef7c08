package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// A template's fields have no secrets, no interpolation and no inner fields. In this
// environment, plain components with the same names and fields replace the templates,
// and the components whose values this package checks. They are built from the
// originals' own specs, so the two cannot differ.

// spec is a component's spec in the engine's JSON form.
type spec map[string]any

func (s spec) config() map[string]any { return s["config"].(map[string]any) }

func (s spec) children() []any {
	children, _ := s.config()["children"].([]any)
	return children
}

func (s spec) field(name string) map[string]any {
	for _, child := range s.children() {
		if field := child.(map[string]any); field["name"] == name {
			return field
		}
	}
	return nil
}

// wordFields are the fields of our components whose value is one of a few words.
var wordFields = []string{"acks", "compression", "partitioner", "start_offset", "transaction_isolation_level"}

// StandIns returns a clone of env for commands that lint or print pipelines (lint,
// echo, create, list). Nothing can be run in it.
func StandIns(env *service.Environment) (*service.Environment, error) {
	clone := env.Clone()
	stockMQTT, err := specOf(env, "input", "mqtt")
	if err != nil {
		return nil, err
	}
	stockKafka, err := specOf(env, "output", "kafka_franz")
	if err != nil {
		return nil, err
	}
	for _, rules := range ruleSets {
		s, err := specOf(env, rules.kind, rules.name)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(rules.name, "robustmq_") && rules.kind != "processor" { // a template
			for _, name := range []string{"key", "topic", "retain"} {
				if field := s.field(name); field != nil && field["type"] == "string" {
					field["interpolated"] = true
				}
			}
			borrow(s, "password", stockMQTT)
			borrow(s, "tls", stockMQTT)
			borrow(s, "sasl", stockKafka)
			for _, child := range s.children() {
				if field := child.(map[string]any); field["type"] == "int" && field["default"] == "" {
					delete(field, "default")
					field["is_optional"] = true
				}
			}
		}
		if sasl := s.field("sasl"); sasl != nil {
			// Our rule names the mechanisms; upstream's does not.
			for _, child := range sasl["children"].([]any) {
				if field := child.(map[string]any); field["name"] == "mechanism" {
					delete(field, "linter")
				}
			}
		}
		for _, child := range s.children() {
			// The rules of this package name the allowed words of a field.
			if field := child.(map[string]any); rules.ours && slices.Contains(wordFields, field["name"].(string)) {
				delete(field, "linter")
			}
		}
		// The rules of this package check the component as a whole.
		if rules.ours {
			delete(s.config(), "linter")
		}
		scrubSecrets(s.children(), nil)
		if err := registerStandIn(clone, rules.kind, s); err != nil {
			return nil, err
		}
	}
	return clone, nil
}

// scrubber hides a value of any type, unless it is an environment variable.
const scrubber = `root = if this != null && this != "" && !this.string().trim().re_match("""^\$\{[0-9A-Za-z_.]+(:((\$\{[^}]+})|[^}])*)?}$""") {
  "!!!SECRET_SCRUBBED!!!"
}`

// scrubSecrets makes the engine hide the secrets that the package secret knows,
// wherever it prints a pipeline.
func scrubSecrets(children []any, path []string) {
	for _, child := range children {
		field := child.(map[string]any)
		at := append(path[:len(path):len(path)], field["name"].(string))
		inner, _ := field["children"].([]any)
		if len(inner) > 0 {
			scrubSecrets(inner, at)
		} else if secret.Is(at) {
			field["is_secret"], field["scrubber"] = true, scrubber
		}
	}
}

// borrow replaces a field of a stand-in, except its description and default, by the
// stock component's field.
func borrow(s spec, name string, from spec) {
	field, stock := s.field(name), from.field(name)
	if field == nil || stock == nil {
		return
	}
	for _, key := range []string{"type", "kind", "children", "is_secret", "scrubber"} {
		if value, ok := stock[key]; ok {
			field[key] = value
		}
	}
}

func specOf(env *service.Environment, kind, name string) (spec, error) {
	text, err := SpecJSON(env, kind, name)
	if err != nil {
		return nil, err
	}
	var s spec
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("reading the spec of the %s %s: %w", kind, name, err)
	}
	return s, nil
}

// SpecJSON returns the spec of an input, output or processor in the engine's JSON form.
// It walks the environment, because the engine's look-up by name returns components of
// the environment that this one was cloned from.
func SpecJSON(env *service.Environment, kind, name string) ([]byte, error) {
	walk := map[string]func(func(string, *service.ConfigView)){
		"input": env.WalkInputs, "output": env.WalkOutputs, "processor": env.WalkProcessors,
		"tracer": env.WalkTracers,
	}[kind]
	if walk == nil {
		return nil, fmt.Errorf("looking up the %s %s: there is no such kind", kind, name)
	}
	var text []byte
	var err error
	walk(func(n string, view *service.ConfigView) {
		if n == name {
			text, err = view.FormatJSON()
		}
	})
	if err == nil && text == nil {
		err = errors.New("it is not registered")
	}
	if err != nil {
		return nil, fmt.Errorf("looking up the %s %s: %w", kind, name, err)
	}
	return text, nil
}

var errStandIn = errors.New("this environment is for linting and printing, not for running")

func registerStandIn(env *service.Environment, kind string, s spec) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	component := service.NewConfigSpec()
	if err := component.EncodeJSON(text); err != nil {
		return err
	}
	name := s["name"].(string)
	switch kind {
	case "processor":
		return env.RegisterProcessor(name, component, func(*service.ParsedConfig, *service.Resources) (service.Processor, error) {
			return nil, errStandIn
		})
	case "output":
		return env.RegisterBatchOutput(name, component, func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			return nil, service.BatchPolicy{}, 0, errStandIn
		})
	}
	return env.RegisterInput(name, component, func(*service.ParsedConfig, *service.Resources) (service.Input, error) {
		return nil, errStandIn
	})
}
