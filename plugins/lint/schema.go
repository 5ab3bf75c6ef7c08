package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"
)

// schema has the fields of a pipeline, and of every component of an environment.
type schema struct {
	pipeline   fieldSpec
	components map[string]map[string]fieldSpec // by kind and name
}

// fieldSpec is the engine's description of a field, or of a component's fields.
type fieldSpec struct {
	Name        string      `json:"name"`
	Type        string      `json:"type"`
	Kind        string      `json:"kind"`
	Description string      `json:"description"`
	Default     *any        `json:"default"`
	Optional    bool        `json:"is_optional"`
	Deprecated  bool        `json:"is_deprecated"`
	Secret      bool        `json:"is_secret"`
	Options     []string    `json:"options"`
	Annotated   [][2]string `json:"annotated_options"`
	Children    []fieldSpec `json:"children"`

	isItem bool // of a list or a map
}

// kinds of components, and their place in the engine's schema.
var kinds = map[string]string{
	"input": "inputs", "output": "outputs", "processor": "processors", "buffer": "buffers", "cache": "caches",
	"rate_limit": "rate-limits", "metrics": "metrics", "tracer": "tracers", "scanner": "scanners",
}

func schemaOf(s *service.ConfigSchema) (schema, error) {
	text, err := s.MarshalJSONV0()
	if err != nil {
		return schema{}, fmt.Errorf("reading the engine's schema: %w", err)
	}
	var all struct {
		Config []fieldSpec `json:"config"`
	}
	var byKind map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &all), json.Unmarshal(text, &byKind)); err != nil {
		return schema{}, fmt.Errorf("reading the engine's schema: %w", err)
	}
	out := schema{pipeline: fieldSpec{Type: "object", Kind: "scalar", Children: all.Config}, components: map[string]map[string]fieldSpec{}}
	for kind, name := range kinds {
		var components []struct {
			Name   string    `json:"name"`
			Config fieldSpec `json:"config"`
		}
		if err := json.Unmarshal(byKind[name], &components); err != nil {
			return schema{}, fmt.Errorf("reading the engine's schema of %s: %w", name, err)
		}
		out.components[kind] = map[string]fieldSpec{}
		for _, c := range components {
			out.components[kind][c.Name] = c.Config
		}
	}
	return out, nil
}

// child returns the inner field with that name, or nil.
func (f *fieldSpec) child(name string) *fieldSpec {
	if f == nil {
		return nil
	}
	if i := slices.IndexFunc(f.Children, func(c fieldSpec) bool { return c.Name == name }); i >= 0 {
		return &f.Children[i]
	}
	return nil
}

// required reports whether a field must be set.
func (f *fieldSpec) required() bool {
	return !f.Optional && !f.Deprecated && f.Default == nil && f.Kind == "scalar" && len(f.Children) == 0 && kinds[f.Type] == ""
}

// item returns the spec of the items of a list or map field.
func (f *fieldSpec) item() fieldSpec {
	inner := *f
	inner.isItem = true
	inner.Kind = map[string]string{"2darray": "array"}[f.Kind]
	if inner.Kind == "" {
		inner.Kind = "scalar"
	}
	return inner
}

// words returns the allowed values of the field, if there are only a few.
func (f *fieldSpec) words() []string {
	if f == nil {
		return nil
	}
	words := slices.Clone(f.Options)
	for _, option := range f.Annotated {
		words = append(words, option[0])
	}
	return words
}

// names returns the names of the fields, including inner ones.
func (f *fieldSpec) names() []string {
	var all []string
	for i := range f.Children {
		all = append(all, f.Children[i].Name)
		all = append(all, f.Children[i].names()...)
	}
	return all
}

// component is an input, an output, a processor or another part of a pipeline.
type component struct {
	kind, name string
	label      *node
	// whole has the label and the processors in addition to the fields, which are in
	// conf.
	whole, conf *node
	spec        fieldSpec
	parent      *component // nil if it is a part of the pipeline itself
}

// place identifies a value: a field of a component or, if of is nil, of the pipeline.
type place struct {
	of   *component
	path []string // within the component's fields
	spec *fieldSpec
}

// tree is a document as the engine reads it.
type tree struct {
	schema     schema
	components []*component
	places     map[*node]place
}

func (s schema) tree(root *node) *tree {
	t := &tree{schema: s, places: map[*node]place{}}
	t.field(root, place{spec: &s.pipeline})
	return t
}

func (t *tree) field(n *node, at place) {
	if at.spec != nil && kinds[at.spec.Type] != "" && at.spec.Kind == "scalar" {
		t.component(n, at)
		return
	}
	t.places[n] = at
	inner := at.spec.child
	if at.spec != nil && at.spec.Kind != "scalar" && at.spec.Kind != "" {
		item := at.spec.item()
		if at.spec.Kind == "map" != (n.kind == yaml.MappingNode) {
			item = fieldSpec{} // it has the wrong shape
		}
		inner = func(string) *fieldSpec { return &item }
	}
	for _, value := range n.items {
		name := value.path[len(value.path)-1]
		t.field(value, place{at.of, extend(at.path, name), inner(name)})
	}
}

// component reads a mapping as the engine does: the first name in it that is a
// component's determines the component.
func (t *tree) component(n *node, at place) {
	t.places[n] = at
	if n.kind != yaml.MappingNode {
		return
	}
	c := &component{kind: at.spec.Type, label: n.member("label"), whole: n, parent: at.of}
	names := n.keys
	if kind := n.member("type"); kind != nil {
		names = []*node{kind}
	}
	for _, name := range names {
		spec, ok := t.schema.components[c.kind][name.value]
		if ok && name.value != "processors" && name.value != "label" {
			c.name, c.spec = name.value, spec
			break
		}
	}
	if c.name == "" {
		return
	}
	if c.conf = n.member(c.name); c.conf == nil {
		c.conf = n.member("plugin")
	}
	t.components = append(t.components, c)
	t.places[n] = place{of: c, spec: at.spec}
	if c.conf != nil {
		t.field(c.conf, place{of: c, spec: &c.spec})
	}
	if list := n.member("processors"); list != nil && (c.kind == "input" || c.kind == "output") {
		t.field(list, place{c, []string{"processors"}, &fieldSpec{Type: "processor", Kind: "array"}})
	}
	if c.label != nil {
		t.places[c.label] = place{of: c, path: []string{"label"}}
	}
}
