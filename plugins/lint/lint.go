// Package lint checks pipelines, including the values of their fields.
//
// It replaces the variables of a text and reads its YAML into a tree whose values have
// positions. Three checkers then examine the tree: the engine's own linter, which knows
// names and shapes, the rules of this package, which know values, and the engine's
// reader, which finds what is left.
package lint

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"
)

// Options select what a Linter reports.
type Options struct {
	Deprecated   bool // deprecated fields too
	Labels       bool // components without a label too
	SkipEnvCheck bool // no environment variables that are not set
	SkipFiles    bool // no files that do not exist
	Warnings     bool // legal settings that lose, repeat or reorder messages too
}

// Linter checks pipelines in an environment of stand-ins.
type Linter struct {
	env        *service.Environment
	engine     *service.ConfigSchema
	readSchema func() (schema, error)
	opts       Options
}

// New returns a Linter. standIns is the result of StandIns, and engine the schema of a
// pipeline in it.
func New(standIns *service.Environment, engine *service.ConfigSchema, opts Options) *Linter {
	return &Linter{
		env: standIns, engine: engine, opts: opts,
		readSchema: sync.OnceValues(func() (schema, error) { return schemaOf(engine) }),
	}
}

// Finding is one message at a position of a text.
type Finding struct {
	Line, Column int
	// Path leads from the pipeline to the field, with list items by index, for example
	// input, mqtt, urls, 0. It is empty if the text as a whole is wrong.
	Path []string
	// Field is the part of Path within the component, with dots: urls.0. It is empty if
	// the component as a whole is wrong.
	Field string
	What  string
	// Warning means that nothing is wrong, but that messages may be lost, repeated or
	// reordered.
	Warning bool
}

// String returns the printed form of a finding, without its position.
func (f Finding) String() string {
	text := f.What
	if f.Field != "" {
		text = f.Field + ": " + text
	}
	if f.Warning {
		text = "warning: " + text
	}
	return text
}

// disabled is the first line of a text that must not be linted. The engine defines it.
const disabled = "# BENTHOS LINT DISABLE"

// YAML checks a pipeline. In an example, environment variables need not be set, and
// files need not exist.
func (l *Linter) YAML(text string, example bool) []Finding {
	if strings.HasPrefix(text, disabled) {
		return nil
	}
	// A random marker, which no text contains by chance, marks values that depend on a
	// variable without a value.
	marker := "unset" + rand.Text()
	replaced, wrong := replaceVariables(text, marker, os.LookupEnv)
	var all []Finding
	for _, v := range wrong {
		if !example && !l.opts.SkipEnvCheck {
			all = append(all, Finding{Line: v.at.line, Column: v.at.column, What: v.what})
		}
	}
	doc, err := parse(replaced, marker)
	if err != nil {
		return append(all, notYAML(text, err))
	}
	all = append(all, doc.findings...)
	if doc.root == nil || doc.root.isNull() {
		if !example {
			all = append(all, Finding{Line: 1, Column: 1, What: "the file has no pipeline in it; robustmq-connect create robustmq_kafka//robustmq_kafka prints one to start from"})
		}
		return all
	}
	if doc.root.kind != yaml.MappingNode {
		shape := map[yaml.Kind]string{yaml.SequenceNode: "a list", yaml.ScalarNode: "a text"}[doc.root.kind]
		return append(all, Finding{Line: doc.root.at.line, Column: doc.root.at.column, What: "a pipeline has the fields input, pipeline and output; this is " + shape})
	}
	found, err := l.judge(doc.root, l.opts.SkipFiles || example)
	if err != nil {
		return append(all, Finding{Line: 1, Column: 1, What: err.Error()})
	}
	return sorted(append(all, found...))
}

// judge lets the three checkers examine a tree.
func (l *Linter) judge(root *node, skipFiles bool) ([]Finding, error) {
	schema, err := l.readSchema()
	if err != nil {
		return nil, err
	}
	f := finder{tree: schema.tree(root), root: root}
	r := render(root)
	lints, err := l.engine.NewStreamConfigLinter().
		SetRejectDeprecated(l.opts.Deprecated).
		SetRequireLabels(l.opts.Labels).
		LintYAML([]byte(r.text.String()))
	if err != nil {
		return nil, fmt.Errorf("reading the pipeline again: %w", err)
	}
	f.engine(r, lints)
	f.rules(skipFiles)
	f.unread(r, l.read(r.text.String()))
	if l.opts.Warnings {
		f.promises()
		f.backPromises()
	}
	return f.findings, nil
}

// read returns the engine's error about a text that it cannot read.
func (l *Linter) read(text string) error {
	builder := l.env.NewStreamBuilder()
	builder.DisableLinting()
	builder.SetSchema(l.engine)
	return builder.SetYAML(text)
}

// unread adds an error of the engine's reader that no other check found, for example a
// wrong number in a field of the engine's own. An error at another finding is that
// finding.
func (f *finder) unread(r *rendered, err error) {
	if err == nil {
		return
	}
	var lint service.Lint
	n := f.root
	if errors.As(err, &lint) {
		if at, _ := r.valueAt(lint.Line); at != nil {
			n = at
		}
		err = errors.New(lint.What)
	}
	related := func(other Finding) bool {
		shorter := min(len(other.Path), len(n.path))
		return slices.Equal(other.Path[:shorter], n.path[:shorter])
	}
	if n == f.root && len(f.findings) > 0 || n.unset || f.wantsComponent(n) || slices.ContainsFunc(f.findings, related) {
		return
	}
	f.addAt(n, OneLine(err.Error()))
}

// sorted sorts findings by position and removes duplicates.
func sorted(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		if a.Column != b.Column {
			return a.Column - b.Column
		}
		return strings.Compare(a.String(), b.String())
	})
	return slices.CompactFunc(all, func(a, b Finding) bool {
		return a.Line == b.Line && a.String() == b.String()
	})
}

// OneLine joins the lines of a text.
func OneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; ")
}
