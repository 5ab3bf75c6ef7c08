package connector

import (
	"encoding/json"

	"gopkg.in/yaml.v3"
)

// MapText is a JSON value with each string in it, but for the names of members,
// replaced by what change makes of it.
func MapText(raw json.RawMessage, change func(path []string, text string) (string, error)) (json.RawMessage, error) {
	v, err := readValue(raw)
	if err != nil {
		return nil, err
	}
	err = v.walk(nil, func(path []string, scalar *value) error {
		text, ok := scalar.text()
		if !ok {
			return nil
		}
		changed, err := change(path, text)
		if err == nil && changed != text {
			scalar.setText(changed)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return v.MarshalJSON()
}

// YAML is a JSON value as a node of a YAML document, in the order that it has.
func YAML(raw json.RawMessage) (*yaml.Node, error) {
	v, err := readValue(raw)
	if err != nil {
		return nil, err
	}
	return v.yaml(), nil
}
