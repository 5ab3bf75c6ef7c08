package store

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// choresField stands in a file beside the fields of a connector's description.
const choresField = "before_start"

func encode(d Definition) ([]byte, error) {
	data := d.Connector.JSON()
	if !d.Before.Any() {
		return data, nil
	}
	chores, err := json.MarshalIndent(d.Before, "  ", "  ")
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(data, '}')
	return fmt.Appendf(bytes.TrimRight(data[:end:end], "\n"), ",\n  %q: %s\n}\n", choresField, chores), nil
}

func decode(data []byte) (Definition, error) {
	var d Definition
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return d, fmt.Errorf("not one JSON object: %w", err)
	}
	if chores, ok := fields[choresField]; ok {
		if err := json.Unmarshal(chores, &d.Before); err != nil {
			return d, fmt.Errorf("%s: %w", choresField, err)
		}
		delete(fields, choresField)
		var err error
		if data, err = json.Marshal(fields); err != nil {
			return d, err
		}
	}
	var err error
	d.Connector, err = connector.Parse(data)
	return d, err
}
