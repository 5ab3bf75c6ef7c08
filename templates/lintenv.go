package templates

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// A template's fields carry no lint rule, no secret and no interpolation. In the
// environments of this file plain components of the same names and fields stand
// in for the templates, and for the upstream components whose values lint looks
// at. They are made from the originals' own specs, so that the two cannot
// disagree. Nothing can be run in such an environment.

// EchoEnvironment returns a clone of env for commands that print configurations
// (echo, create, list): passwords of the templates are scrubbed there.
func EchoEnvironment(env *service.Environment) (*service.Environment, error) {
	return standInEnvironment(env, func(spec) error { return nil })
}

// LintEnvironment returns a clone of env in which values are judged, and not
// only names. With skipFiles set no file needs to exist.
func LintEnvironment(env *service.Environment, skipFiles bool) (*service.Environment, error) {
	fileChecks.Store(!skipFiles)
	return standInEnvironment(env, func(s spec) error {
		loosenTypes(s.children())
		return nil
	})
}

// UnsetVariable returns the value to give an environment variable that is not
// set, so that what is built of it is not judged.
func UnsetVariable(name string) string { return unset + name }

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

// fieldNames returns the names of a component's fields, inner ones included.
func fieldNames(children []any) []string {
	var names []string
	for _, child := range children {
		field := child.(map[string]any)
		names = append(names, field["name"].(string))
		inner, _ := field["children"].([]any)
		names = append(names, fieldNames(inner)...)
	}
	return names
}

// wordFields are the fields of kafka_franz that take one of a few words.
var wordFields = []string{"acks", "compression", "partitioner"}

func standInEnvironment(env *service.Environment, change func(spec) error) (*service.Environment, error) {
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
		if rules.name == "robustmq_kafka" {
			for _, name := range []string{"key", "topic"} {
				if field := s.field(name); field != nil {
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
			// Our rule says which mechanisms there are, upstream's does not.
			for _, child := range sasl["children"].([]any) {
				if field := child.(map[string]any); field["name"] == "mechanism" {
					delete(field, "linter")
				}
			}
		}
		for _, child := range s.children() {
			// The rules of this package name the words that a field takes.
			if field := child.(map[string]any); rules.name == "kafka_franz" && slices.Contains(wordFields, field["name"].(string)) {
				delete(field, "linter")
			}
		}
		if err := change(s); err != nil {
			return nil, err
		}
		if err := addLinter(s, rules.key()); err != nil {
			return nil, err
		}
		if err := registerStandIn(clone, rules.kind, s); err != nil {
			return nil, err
		}
	}
	return clone, nil
}

// borrow replaces a field of a stand-in, but for its description and default,
// by the stock component's of that name.
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

// loosenTypes makes the engine hand numbers and booleans to the lint rules as
// they stand: of a value of the wrong type it would neither report the type nor
// run the rules of the component.
func loosenTypes(children []any) {
	for _, child := range children {
		field := child.(map[string]any)
		switch kind := field["type"]; kind {
		case "int", "float", "bool":
			field["type"] = "unknown"
			if _, own := field["linter"]; !own && field["kind"] == "scalar" {
				field["linter"] = fmt.Sprintf("root = this.robustmq_type_problem(%q)", kind)
			}
		}
		inner, _ := field["children"].([]any)
		loosenTypes(inner)
	}
}

// addLinter lets the rule set judge the whole component, beside the rule that
// the component brings.
func addLinter(s spec, key string) error {
	rule := fmt.Sprintf("root = this.robustmq_problems(%q)", key)
	if own, _ := s.config()["linter"].(string); own != "" {
		before, expression, found := strings.Cut("\n"+own, "\nroot = ")
		if !found || strings.Contains(expression, "\nroot") {
			return fmt.Errorf("extending the lint rule of %s: it does not assign root once", key)
		}
		rule = fmt.Sprintf("%s\nroot = [ this.robustmq_problems(%q), (%s) ]", before, key, strings.TrimSpace(expression))
	}
	s.config()["linter"] = rule
	return nil
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

// SpecJSON returns the spec of an input, output or processor in the engine's
// JSON form. It walks, since the engine's look-up by name answers for the
// environment that this one was cloned from.
func SpecJSON(env *service.Environment, kind, name string) ([]byte, error) {
	walk := map[string]func(func(string, *service.ConfigView)){
		"input": env.WalkInputs, "output": env.WalkOutputs, "processor": env.WalkProcessors,
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

// NearestComponent returns the input, output or processor whose name is a slip
// of the pen away from the one given, or "".
func NearestComponent(env *service.Environment, name string) string {
	var names []string
	add := func(name string, _ *service.ConfigView) { names = append(names, name) }
	env.WalkInputs(add)
	env.WalkOutputs(add)
	env.WalkProcessors(add)
	return nearest(name, names)
}

// NearestField returns the field of the named component, of whatever kind it is,
// that is a slip of the pen away from the one given, or "".
func NearestField(env *service.Environment, component, field string) string {
	var names []string
	for _, kind := range []string{"input", "output", "processor"} {
		if s, err := specOf(env, kind, component); err == nil {
			names = append(names, fieldNames(s.children())...)
		}
	}
	return nearest(field, names)
}
