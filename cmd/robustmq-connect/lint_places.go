package main

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
	// at holds each node with the keys that lead to it.
	nodes []placedNode
}

type placedNode struct {
	node *yaml.Node
	path []string
}

// placesOf indexes a text. A text that does not parse before its environment
// variables are replaced has no places, and problems stay where the engine put
// them.
func placesOf(text string) places {
	var root yaml.Node
	var p places
	if err := yaml.Unmarshal([]byte(text), &root); err == nil {
		p.add(&root, nil)
	}
	return p
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
func (p places) locate(env *service.Environment, lint service.Lint) finding {
	f := finding{line: lint.Line, column: max(1, lint.Column), what: lint.What}
	if m := unknownField.FindStringSubmatch(lint.What); m != nil {
		if near := p.nearestField(env, lint.Line, m[1]); near != "" && near != m[1] {
			f.what += fmt.Sprintf("; did you mean %q?", near)
		}
		return f
	}
	if m := unknownType.FindStringSubmatch(lint.What); m != nil {
		if near := templates.NearestComponent(env, m[1]); near != "" {
			f.what += fmt.Sprintf("; did you mean %q?", near)
		}
		return f
	}
	if m := pathOfProblem.FindStringSubmatch(lint.What); m != nil {
		if inner := p.valueBelow(lint.Line, strings.Split(m[1], ".")); inner != nil {
			f.line, f.column = inner.Line, inner.Column
			return f
		}
	}
	if name, at := p.fieldAt(lint.Line, lint.What); name != "" {
		f.column = at
		if !strings.Contains(lint.What, name) {
			f.what = name + ": " + f.what
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
		if strings.Contains(message, strconv.Quote(placed.node.Value)) {
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
