package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// value is a JSON value that keeps the order of its members, so that a user's text is
// returned in its original order.
type value struct {
	open  byte            // { or [, 0 for a scalar
	names []string        // of an object, beside items
	items []*value        // of an object or a list
	raw   json.RawMessage // of a scalar
}

// readValue reads raw, which must be well-formed JSON.
func readValue(raw json.RawMessage) (*value, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return nextValue(d)
}

func nextValue(d *json.Decoder) (*value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		raw, err := json.Marshal(token)
		return &value{raw: raw}, err
	}
	v := &value{open: byte(delim)}
	known := map[string]bool{}
	for d.More() {
		if v.open == '{' {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			text, _ := name.(string) // the name of a member is one
			if known[text] {
				return nil, fmt.Errorf("field %q is given twice: remove one", text)
			}
			known[text] = true
			v.names = append(v.names, text)
		}
		item, err := nextValue(d)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	_, err = d.Token()
	return v, err
}

// text returns the string in a scalar.
func (v *value) text() (string, bool) {
	if v.open != 0 || len(v.raw) == 0 || v.raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(v.raw, &s)
	return s, err == nil
}

// isGiven reports whether a scalar is neither null nor an empty text.
func (v *value) isGiven() bool {
	return v.open == 0 && string(v.raw) != "null" && string(v.raw) != `""`
}

func (v *value) setText(s string) {
	// Marshalling a string cannot fail.
	v.raw, _ = json.Marshal(s)
}

// walk calls visit for each scalar, with the names and indexes that lead to it.
//
// The path is valid until visit returns: the steps share its memory.
func (v *value) walk(path []string, visit func(path []string, scalar *value) error) error {
	if v.open == 0 {
		return visit(path, v)
	}
	for i, item := range v.items {
		if err := item.walk(append(path, v.step(i)), visit); err != nil {
			return err
		}
	}
	return nil
}

// at returns the value at a path, or nil.
func (v *value) at(path []string) *value {
	for _, step := range path {
		var next *value
		for i, item := range v.items {
			if v.open == '{' && v.names[i] == step || v.open == '[' && strconv.Itoa(i) == step {
				next = item
			}
		}
		if next == nil {
			return nil
		}
		v = next
	}
	return v
}

// MarshalJSON implements json.Marshaler.
func (v *value) MarshalJSON() ([]byte, error) {
	if v.open == 0 {
		return v.raw, nil
	}
	b := []byte{v.open}
	for i, item := range v.items {
		if i > 0 {
			b = append(b, ',')
		}
		if v.open == '{' {
			name, _ := json.Marshal(v.names[i])
			b = append(append(b, name...), ':')
		}
		inner, err := item.MarshalJSON()
		if err != nil {
			return nil, err
		}
		b = append(b, inner...)
	}
	return append(b, v.open+2), nil // } and ] stand two behind { and [
}

// yaml returns v as a node of a pipeline.
func (v *value) yaml() *yaml.Node {
	switch v.open {
	case '{':
		n := &yaml.Node{Kind: yaml.MappingNode}
		for i, item := range v.items {
			n.Content = append(n.Content, text(v.names[i]), item.yaml())
		}
		return n
	case '[':
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v.items {
			n.Content = append(n.Content, item.yaml())
		}
		return n
	}
	if s, ok := v.text(); ok {
		n := text(s)
		if strings.Contains(s, "${") {
			// The inserted value must not be read as another type.
			n.Style = yaml.DoubleQuotedStyle
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: string(v.raw)}
	switch v.raw[0] {
	case 't', 'f':
		n.Tag = "!!bool"
	case 'n':
		n.Tag = "!!null"
	default:
		n.Tag = "!!int"
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	}
	return n
}
