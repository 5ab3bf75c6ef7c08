package lint

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/templates"
)

// places knows where the values of a YAML text stand. The engine reports a
// problem of a component at the component's first line; places finds the line of
// the value itself.
type places struct {
	// nodes holds each node with the keys that lead to it.
	nodes []placedNode
	// twice holds the keys that a mapping has already.
	twice []*yaml.Node
	// more is the line of a second document, or 0.
	more int
}

type placedNode struct {
	node *yaml.Node
	path []string
}

// placesOf indexes a text. A text that does not parse before its environment
// variables are replaced has no places, and problems stay where the engine put
// them.
func placesOf(text string) places {
	var p places
	documents := yaml.NewDecoder(strings.NewReader(text))
	for {
		var root yaml.Node
		if err := documents.Decode(&root); err != nil {
			return p
		}
		if len(p.nodes) > 0 {
			p.more = root.Line
			return p
		}
		p.add(&root, nil)
	}
}

func (p *places) add(node *yaml.Node, path []string) {
	p.nodes = append(p.nodes, placedNode{node: node, path: path})
	switch node.Kind {
	case yaml.DocumentNode:
		for _, child := range node.Content {
			p.add(child, path)
		}
	case yaml.SequenceNode:
		for i, child := range node.Content {
			p.add(child, append(path[:len(path):len(path)], strconv.Itoa(i)))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			for j := 0; j < i; j += 2 {
				if node.Content[j].Value == node.Content[i].Value {
					p.twice = append(p.twice, node.Content[i])
					break
				}
			}
			p.add(node.Content[i+1], append(path[:len(path):len(path)], node.Content[i].Value))
		}
	}
}

var (
	pathOfProblem = regexp.MustCompile(`^([a-z_]+(?:\.[a-z_0-9]+)*): `)
	unknownType   = regexp.MustCompile(`^unable to infer component type: (\S+)$`)
	unknownField  = regexp.MustCompile(`^field (\S+) (?:not recognised|is invalid)`)
)

// locate turns a lint of the engine's into a finding: at the value, naming the
// field, and with what was perhaps meant.
func (p places) locate(env *service.Environment, lint service.Lint) Finding {
	f := Finding{Line: lint.Line, Column: max(1, lint.Column), What: lint.What}
	if m := unknownField.FindStringSubmatch(lint.What); m != nil {
		if near := p.nearestField(env, lint.Line, m[1]); near != "" && near != m[1] {
			f.What += fmt.Sprintf("; did you mean %q?", near)
		}
		return f
	}
	if m := unknownType.FindStringSubmatch(lint.What); m != nil {
		if near := templates.NearestComponent(env, m[1]); near != "" {
			f.What += fmt.Sprintf("; did you mean %q?", near)
		}
		return f
	}
	if m := pathOfProblem.FindStringSubmatch(lint.What); m != nil {
		if inner := p.valueBelow(lint.Line, strings.Split(m[1], ".")); inner != nil {
			f.Line, f.Column = inner.Line, inner.Column
			return f
		}
	}
	if name, at := p.fieldAt(lint.Line, lint.What); name != "" {
		f.Column = at
		if !strings.Contains(lint.What, name) {
			f.What = name + ": " + f.What
		}
	}
	return f
}

// valueBelow returns the value at a path within a component that starts on a
// line, or as much of the path as the text has: a default is not in it.
func (p places) valueBelow(line int, path []string) *yaml.Node {
	for reach := len(path); reach > 0; reach-- {
		for _, placed := range p.nodes {
			if placed.node.Line == line && placed.node.Kind == yaml.MappingNode {
				if inner := follow(placed.node, path[:reach]); inner != nil {
					return inner
				}
			}
		}
	}
	return nil
}

// engineProblems finds what is wrong outside of the components: in the engine's
// own settings, and in what a YAML reader would pass over in silence.
func (p places) engineProblems(text string) []Finding {
	var all []Finding
	for _, key := range p.twice {
		all = append(all, Finding{Line: key.Line, Column: key.Column, What: key.Value + ": stands here a second time; keep one of the two"})
	}
	if p.more > 0 {
		all = append(all, Finding{Line: p.more, Column: 1, What: "a second document starts here and would be ignored; put it into a file of its own"})
	}
	var conf map[string]any
	if len(p.nodes) < 2 || yaml.Unmarshal([]byte(text), &conf) != nil {
		return all
	}
	for _, problem := range templates.EngineProblems(conf) {
		f := Finding{Line: 1, Column: 1, What: problem.String()}
		if node := follow(p.nodes[1].node, strings.Split(problem.Path, ".")); node != nil {
			f.Line, f.Column = node.Line, node.Column
		}
		all = append(all, f)
	}
	return all
}

// follow walks from a node down a path, to nil where the path does not exist.
func follow(node *yaml.Node, path []string) *yaml.Node {
	for _, step := range path {
		if node = stepInto(node, step); node == nil {
			return nil
		}
	}
	return node
}

func stepInto(node *yaml.Node, step string) *yaml.Node {
	switch node.Kind {
	case yaml.AliasNode:
		return stepInto(node.Alias, step)
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if n, err := strconv.Atoi(step); err == nil && n < len(node.Content) {
			return node.Content[n]
		}
	}
	return nil
}

// fieldAt returns the name and the column of the value on a line that a message
// speaks of: the one that it quotes, else the only one.
func (p places) fieldAt(line int, message string) (name string, column int) {
	values := 0
	for _, placed := range p.nodes {
		if placed.node.Line != line || len(placed.path) == 0 || len(placed.node.Content) > 0 {
			continue
		}
		last := len(placed.path) - 1
		for last > 0 && isIndex(placed.path[last]) {
			last--
		}
		values++
		name, column = placed.path[last], placed.node.Column
		if v := placed.node.Value; strings.Contains(message, strconv.Quote(v)) || v != "" && strings.Contains(message, "value "+v+" ") {
			return name, column
		}
	}
	if values != 1 {
		return "", 0
	}
	return name, column
}

func isIndex(step string) bool {
	_, err := strconv.Atoi(step)
	return err == nil
}

// nearestField looks for the name of an unknown field among those of the
// component that it stands in.
func (p places) nearestField(env *service.Environment, line int, name string) string {
	for _, placed := range p.nodes {
		last := len(placed.path) - 1
		if last < 0 || placed.path[last] != name || placed.node.Line < line || placed.node.Line > line+1 {
			continue
		}
		for i := last - 1; i >= 0; i-- {
			if near := templates.NearestField(env, placed.path[i], name); near != "" {
				return near
			}
		}
	}
	return ""
}
