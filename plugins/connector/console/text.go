package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// toYAML writes JSON as YAML in the same order.
func toYAML(text []byte) (string, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return "", fmt.Errorf("writing YAML: %w", err)
	}
	asBlocks(&node)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&node); err != nil {
		return "", fmt.Errorf("writing YAML: %w", err)
	}
	return b.String(), nil
}

// asBlocks takes away braces and the quotes that JSON needs. The encoder sets those that
// YAML needs.
func asBlocks(node *yaml.Node) {
	node.Style = 0
	for _, inner := range node.Content {
		asBlocks(inner)
	}
}

// fromYAML reads YAML, of which JSON is a part, as one JSON object.
func fromYAML(text string) (json.RawMessage, error) {
	d := yaml.NewDecoder(strings.NewReader(text))
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, errors.New("reading the YAML: " + strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if _, ok := value.(map[string]any); !ok {
		return nil, errors.New("reading the YAML: it must be one mapping, connector_name: … and the other fields of a definition")
	}
	if d.Decode(new(any)) == nil {
		return nil, errors.New("reading the YAML: it holds several documents: give one connector")
	}
	object, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("reading the YAML: %w: quote the keys that are not texts", err)
	}
	return object, nil
}

// valueOfYAML reads YAML, of which JSON is a part, as one value.
func valueOfYAML(text string) (json.RawMessage, error) {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return nil, errors.New("reading it: " + strings.TrimPrefix(err.Error(), "yaml: "))
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("reading it: %w: quote the keys that are not texts", err)
	}
	return raw, nil
}
