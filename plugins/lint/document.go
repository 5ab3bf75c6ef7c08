package lint

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxNodes limits the number of values that aliases may multiply to.
const maxNodes = 200_000

// node is a value in a pipeline's YAML. Aliases and merge keys are resolved, so every
// node has one path.
type node struct {
	kind   yaml.Kind // ScalarNode, MappingNode or SequenceNode
	tag    string    // the short tag, such as !!int
	tagged bool      // the text has the tag
	value  string    // of a scalar
	unset  bool      // a scalar that contains a variable without a value

	at   position // in the text of the user
	text position // where the lines of a scalar's value start
	path []string // the keys and indexes that lead to it

	keys  []*node // of a mapping; keys[i] leads to items[i]
	items []*node
}

// member returns the value of a mapping's key, or nil.
func (n *node) member(name string) *node {
	if n == nil || n.kind != yaml.MappingNode {
		return nil
	}
	for i, key := range n.keys {
		if key.value == name {
			return n.items[i]
		}
	}
	return nil
}

// childAt returns the member or item for a step of a path, or nil.
func (n *node) childAt(name string) *node {
	if n != nil && n.kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.items) {
			return n.items[i]
		}
		return nil
	}
	return n.member(name)
}

// follow follows a path as far as it exists.
func (n *node) follow(path []string) *node {
	for _, name := range path {
		inner := n.childAt(name)
		if inner == nil {
			break
		}
		n = inner
	}
	return n
}

// isNull reports whether there is no value.
func (n *node) isNull() bool { return n.kind == yaml.ScalarNode && n.tag == "!!null" }

// document is a YAML text as a tree.
type document struct {
	root     *node // nil where the text has no value
	findings []Finding
}

// parse reads the first document of a text. The error is the YAML library's.
func parse(text replaced, marker string) (document, error) {
	reader := yaml.NewDecoder(strings.NewReader(text.text))
	var root yaml.Node
	if err := reader.Decode(&root); errors.Is(err, io.EOF) {
		return document{}, nil
	} else if err != nil {
		return document{}, err
	}
	p := parser{text: text, marker: marker, open: map[*yaml.Node]bool{}}
	d := document{root: p.node(root.Content[0], nil)}
	var second yaml.Node
	if err := reader.Decode(&second); err == nil {
		p.report(&second, nil, "a second document starts here and would be ignored; put it into a separate file")
	} else if !errors.Is(err, io.EOF) {
		return document{}, err
	}
	d.findings = p.findings
	return d, nil
}

type parser struct {
	text     replaced
	marker   string
	nodes    int
	open     map[*yaml.Node]bool // the anchors that are being read
	findings []Finding
}

func (p *parser) report(y *yaml.Node, path []string, what string) {
	at := p.text.source(position{y.Line, y.Column})
	p.findings = append(p.findings, Finding{Line: at.line, Column: at.column, Path: path, What: what})
}

func (p *parser) node(y *yaml.Node, path []string) *node {
	n := &node{kind: y.Kind, tag: y.ShortTag(), tagged: y.Style&yaml.TaggedStyle != 0, value: y.Value, path: path}
	n.at = p.text.source(position{y.Line, y.Column})
	n.text = n.at
	if y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		n.text.line++
	}
	if p.nodes++; p.nodes == maxNodes {
		p.report(y, path, fmt.Sprintf("there are more than %d values up to here; use fewer aliases", maxNodes))
	}
	if p.nodes >= maxNodes {
		return &node{kind: yaml.ScalarNode, tag: "!!null", at: n.at, path: path}
	}
	switch y.Kind {
	case yaml.AliasNode:
		return p.alias(y, path)
	case yaml.SequenceNode:
		for i, item := range y.Content {
			n.items = append(n.items, p.node(item, extend(path, strconv.Itoa(i))))
		}
	case yaml.MappingNode:
		p.members(n, y, false)
	case yaml.ScalarNode:
		n.unset = strings.Contains(y.Value, p.marker)
	}
	return n
}

func (p *parser) alias(y *yaml.Node, path []string) *node {
	if p.open[y.Alias] {
		p.report(y, path, fmt.Sprintf("*%s is inside &%s itself; write the value out", y.Value, y.Value))
		return &node{kind: yaml.ScalarNode, tag: "!!null", at: p.text.source(position{y.Line, y.Column}), path: path}
	}
	p.open[y.Alias] = true
	defer delete(p.open, y.Alias)
	return p.node(y.Alias, path)
}

// members adds the members of a mapping. Those from a merge key do not replace existing
// ones.
func (p *parser) members(n *node, y *yaml.Node, merged bool) {
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode && key.Kind != yaml.AliasNode:
			p.report(key, n.path, "a name is expected here, not a list or an object")
		case key.ShortTag() == "!!merge":
		case n.member(key.Value) == nil:
			path := extend(n.path, key.Value)
			n.keys = append(n.keys, &node{
				kind: yaml.ScalarNode, tag: "!!str", value: key.Value, unset: strings.Contains(key.Value, p.marker),
				at: p.text.source(position{key.Line, key.Column}), path: path,
			})
			n.items = append(n.items, p.node(y.Content[i+1], path))
		case !merged:
			p.findings = append(p.findings, Finding{
				Line: p.text.source(position{key.Line, key.Column}).line, Column: p.text.source(position{key.Line, key.Column}).column,
				Path: extend(n.path, key.Value), Field: key.Value, What: "is set twice; remove one of them",
			})
		}
	}
	for i := 0; i+1 < len(y.Content); i += 2 {
		if y.Content[i].ShortTag() == "!!merge" {
			p.merge(n, y.Content[i+1])
		}
	}
}

// merge adds the members of a mapping, or of each mapping in a list, in order.
func (p *parser) merge(n *node, from *yaml.Node) {
	switch from.Kind {
	case yaml.AliasNode:
		if p.open[from.Alias] {
			p.report(from, n.path, fmt.Sprintf("*%s is inside &%s itself; write the value out", from.Value, from.Value))
			return
		}
		p.open[from.Alias] = true
		defer delete(p.open, from.Alias)
		p.merge(n, from.Alias)
	case yaml.MappingNode:
		p.members(n, from, true)
	case yaml.SequenceNode:
		for _, item := range from.Content {
			p.merge(n, item)
		}
	}
}

func extend(path []string, step string) []string { return append(path[:len(path):len(path)], step) }

// rendered is the tree as a new text with at most one value per line, so that the line
// of an engine's finding identifies the value.
type rendered struct {
	text strings.Builder
	line int           // the one being written
	keys map[int]*node // the keys of mappings, by line
	at   map[int]*node // the values; a mapping starts on the line of its first key
}

func render(root *node) *rendered {
	r := &rendered{line: 1, keys: map[int]*node{}, at: map[int]*node{}}
	r.write(root, 0)
	return r
}

func (r *rendered) write(n *node, indent int) {
	switch {
	case n.kind == yaml.MappingNode && len(n.keys) > 0:
		r.at[r.line] = n
		for i, key := range n.keys {
			r.keys[r.line] = key
			// A name of more than 1024 characters needs the longer form.
			if name := quote(key.value); len(name) < 1000 {
				r.put(indent, name+":")
			} else {
				r.put(indent, "? "+name)
				r.put(indent, ":")
			}
			r.write(n.items[i], indent+1)
		}
	case n.kind == yaml.SequenceNode && len(n.items) > 0:
		r.at[r.line] = n
		for _, item := range n.items {
			r.put(indent, "-")
			r.write(item, indent+1)
		}
	default:
		r.at[r.line] = n
		r.put(indent, n.scalar())
		// A value of several lines needs that many lines.
		for range strings.Count(n.value, "\n") {
			r.put(0, "")
		}
	}
}

func (r *rendered) put(indent int, text string) {
	r.text.WriteString(strings.Repeat(" ", indent))
	r.text.WriteString(text)
	r.text.WriteByte('\n')
	r.line++
}

// scalar returns a value as text on one line.
func (n *node) scalar() string {
	switch {
	case n.kind == yaml.MappingNode:
		return "{}"
	case n.kind == yaml.SequenceNode:
		return "[]"
	case n.isNull():
		return "null"
	case n.tagged && n.tag != "!!str":
		return n.tag + " " + quote(n.value)
	case n.tag == "!!int" || n.tag == "!!float" || n.tag == "!!bool" || n.tag == "!!timestamp":
		return n.value
	}
	return quote(n.value)
}

// quote escapes dollar signs, because the variables are replaced already.
func quote(s string) string { return strings.ReplaceAll(strconv.QuoteToASCII(s), "$", `\x24`) }

// valueAt returns the value on a line, and how many lines below the value's first line
// that is.
func (r *rendered) valueAt(line int) (n *node, below int) {
	for above := line; above > 0; above-- {
		if n := r.at[above]; n != nil {
			return n, line - above
		}
		if r.keys[above] != nil {
			break
		}
	}
	return nil, 0
}
