package lint

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// valueType reports a value of the wrong type. The engine's linter leaves that to its
// reader, which reports one at a time, and of some neither the line nor the field.
func (f *finder) valueType(n *node, p place) {
	what := ""
	if f.wantsComponent(n) {
		what = f.noComponent(n, p.spec.Type)
	} else if needsText(p) && slices.Contains([]string{"!!int", "!!float", "!!bool"}, n.tag) {
		what = "must be text; put it in quotes" // without the value, which may be a secret
	} else if p.of != nil && ruleSetOf(p.of.kind, p.of.name) != nil {
		if !p.spec.isItem {
			what = checkType(f.valueOf(n), p.spec.Type)
		}
	} else if into := map[string]any{"int": new(int), "float": new(float64), "bool": new(bool)}[p.spec.Type]; into != nil && n.yaml().Decode(into) != nil {
		what = checkType(n.value, p.spec.Type)
	}
	if what != "" {
		f.addAt(n, what)
	}
}

// needsText reports whether a number or a bool in place of a text stops a run. The engine
// reads it as text in most fields, but not where it hides a secret, and not in what a
// template passes on as it is. Its error shows the value.
func needsText(p place) bool {
	if p.of == nil || p.spec.Type != "string" {
		return false
	}
	if p.of.name == templateName {
		return len(p.path) > 1 && (p.path[0] == "tls" || p.path[0] == "sasl")
	}
	return p.spec.Secret && !p.spec.isItem
}

// wantsComponent reports whether a single value, or none, is in the place of a component.
func (f *finder) wantsComponent(n *node) bool {
	spec := f.places[n].spec
	return n.kind == yaml.ScalarNode && spec != nil && spec.Kind == "scalar" && kinds[spec.Type] != ""
}

// noComponent returns what is wrong with such a value.
func (f *finder) noComponent(n *node, kind string) string {
	_, known := f.schema.components[kind][n.value]
	switch {
	case known:
		return fmt.Sprintf("must be fields, not %s; write %s: on a line of its own, indented below, and its fields below it", n.value, n.value)
	case !n.isNull():
		return fmt.Sprintf("must be %s with its fields, not %s", article(kind), n.value)
	case slices.ContainsFunc(f.root.keys, func(key *node) bool { return slices.Contains(f.kindsOf(key.value), kind) }):
		return "" // the component is beside it, because of missing indentation, and reported itself
	}
	return fmt.Sprintf("names no %s; indent one below it, or remove it", kind)
}
