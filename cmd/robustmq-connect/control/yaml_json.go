package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// A document of real connectors stays far below these, and aliases of aliases do not.
const (
	maxYAMLNodes = 1 << 20
	maxYAMLDepth = 64
)

// yamlConversion makes JSON of a YAML document. The order of members stays: what a
// user wrote is stored as it was written.
type yamlConversion struct{ nodes int }

func (c *yamlConversion) json(n *yaml.Node, depth int) (json.RawMessage, error) {
	if c.nodes++; c.nodes > maxYAMLNodes || depth > maxYAMLDepth {
		return nil, fmt.Errorf("line %d: it is nested too deeply, or its aliases expand to too much", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return c.json(n.Content[0], depth+1)
	case yaml.AliasNode:
		return c.json(n.Alias, depth+1)
	case yaml.SequenceNode:
		items := make([][]byte, len(n.Content))
		for i, item := range n.Content {
			text, err := c.json(item, depth+1)
			if err != nil {
				return nil, err
			}
			items[i] = text
		}
		return slices.Concat([]byte{'['}, bytes.Join(items, []byte{','}), []byte{']'}), nil
	case yaml.MappingNode:
		members, err := c.members(n, depth)
		if err != nil {
			return nil, err
		}
		items := make([][]byte, len(members))
		for i, m := range members {
			name, _ := cli.Marshal(m.name) // a string
			items[i] = slices.Concat(name, []byte{':'}, m.value)
		}
		return slices.Concat([]byte{'{'}, bytes.Join(items, []byte{','}), []byte{'}'}), nil
	case yaml.ScalarNode:
		return scalarJSON(n)
	}
	return json.RawMessage("null"), nil // an empty document
}

type yamlMember struct {
	name  string
	value json.RawMessage
}

// members are those of a mapping, and behind them those that << merges into it.
func (c *yamlConversion) members(n *yaml.Node, depth int) ([]yamlMember, error) {
	var own, merged []yamlMember
	has := func(all []yamlMember, name string) bool {
		return slices.ContainsFunc(all, func(m yamlMember) bool { return m.name == name })
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			more, err := c.merge(value, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: the name of a field must be text", key.Line)
		}
		if has(own, key.Value) {
			return nil, fmt.Errorf("line %d: field %q is given twice: remove one", key.Line, key.Value)
		}
		text, err := c.json(value, depth+1)
		if err != nil {
			return nil, err
		}
		own = append(own, yamlMember{key.Value, text})
	}
	for _, m := range merged {
		if !has(own, m.name) { // what is nearer wins
			own = append(own, m)
		}
	}
	return own, nil
}

func (c *yamlConversion) merge(n *yaml.Node, depth int) ([]yamlMember, error) {
	if c.nodes++; c.nodes > maxYAMLNodes || depth > maxYAMLDepth {
		return nil, fmt.Errorf("line %d: it is nested too deeply, or its aliases expand to too much", n.Line)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return c.merge(n.Alias, depth+1)
	case yaml.MappingNode:
		return c.members(n, depth+1)
	case yaml.SequenceNode:
		var all []yamlMember
		for _, item := range n.Content {
			more, err := c.merge(item, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		return all, nil
	}
	return nil, fmt.Errorf("line %d: << merges a mapping: give it an alias of one", n.Line)
}

func scalarJSON(n *yaml.Node) (json.RawMessage, error) {
	fail := func(err error) (json.RawMessage, error) {
		return nil, fmt.Errorf("line %d: %q is not a JSON value: %w", n.Line, n.Value, err)
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return cli.Marshal(n.Value)
	case "!!null":
		return json.RawMessage("null"), nil
	case "!!bool", "!!int", "!!float":
		var number json.Number
		if n.ShortTag() != "!!bool" && json.Unmarshal([]byte(n.Value), &number) == nil {
			return json.RawMessage(n.Value), nil // as it was written
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return fail(err)
		}
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return fail(errors.New("give a number"))
		}
		return cli.Marshal(v)
	}
	return fail(fmt.Errorf("remove its tag %s", n.Tag))
}
