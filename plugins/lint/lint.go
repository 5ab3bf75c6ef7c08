// Package lint judges pipelines, the values of their fields included.
package lint

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/templates"
)

// Options choose what a Linter reports.
type Options struct {
	Deprecated   bool // deprecated fields too
	Labels       bool // components without a label too
	SkipEnvCheck bool // no environment variables that are not set
}

// Linter judges pipelines in a lint environment.
type Linter struct {
	env    *service.Environment
	schema *service.ConfigSchema
	opts   Options
}

// New takes an environment of templates.LintEnvironment and the schema of a
// pipeline in it.
func New(lintEnv *service.Environment, schema *service.ConfigSchema, opts Options) *Linter {
	return &Linter{env: lintEnv, schema: schema, opts: opts}
}

// Finding is one thing that is wrong, at a place of a text.
type Finding struct {
	Line, Column int
	What         string
}

var envWithoutDefault = regexp.MustCompile(`\$\{([0-9A-Za-z_.]+)(?:\|[0-9A-Za-z]+)?\}`)

// YAML judges a pipeline. An environment variable of an example need not be set.
func (l *Linter) YAML(text string, example bool) []Finding {
	var all []Finding
	isUnset := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		for _, at := range envWithoutDefault.FindAllStringSubmatchIndex(line, -1) {
			name := line[at[2]:at[3]]
			if _, ok := os.LookupEnv(name); ok && !example {
				continue
			}
			isUnset[name] = true
			if !example && !l.opts.SkipEnvCheck {
				all = append(all, Finding{Line: i + 1, Column: at[0] + 1, What: fmt.Sprintf(
					"environment variable %s is not set; set it, or give it a default as ${%s:default}", name, name)})
			}
		}
	}
	lookup := func(_ context.Context, name string) (string, bool) {
		if isUnset[name] {
			return templates.UnsetVariable(name), true
		}
		return os.LookupEnv(name)
	}
	lints, err := l.schema.NewStreamConfigLinter().
		SetRejectDeprecated(l.opts.Deprecated).
		SetRequireLabels(l.opts.Labels).
		SetEnvVarLookupFunc(lookup).
		LintYAML([]byte(text))
	if err != nil {
		return append(all, Finding{Line: lineOf(err), Column: 1, What: err.Error()})
	}
	places := placesOf(text)
	for _, lint := range lints {
		all = append(all, places.locate(l.env, lint))
	}
	all = append(all, places.engineProblems(text)...)
	all = append(all, l.unread(text, lookup, all)...)
	all = withoutConsequences(all)
	slices.SortStableFunc(all, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.What, b.What)
	})
	return slices.Compact(all)
}

// withoutConsequences drops what was found in a value of the wrong shape, which
// the engine shows to the rules as an empty one.
func withoutConsequences(all []Finding) []Finding {
	wrongShape := map[[2]int]bool{}
	isShape := func(f Finding) bool {
		return strings.Contains(f.What, "expected array value") || strings.Contains(f.What, "expected object value")
	}
	for _, f := range all {
		if isShape(f) {
			wrongShape[[2]int{f.Line, f.Column}] = true
		}
	}
	return slices.DeleteFunc(all, func(f Finding) bool {
		return wrongShape[[2]int{f.Line, f.Column}] && !isShape(f)
	})
}

// unread finds what the engine cannot read though no lint rule saw it, a number
// that is none in a field of the engine's own for example. What stands on a line
// of another finding, or comes of a variable that is not set, is that finding.
func (l *Linter) unread(text string, lookup func(context.Context, string) (string, bool), found []Finding) []Finding {
	builder := l.env.NewStreamBuilder()
	builder.DisableLinting()
	builder.SetSchema(l.schema)
	builder.SetEnvVarLookupFunc(func(name string) (string, bool) { return lookup(context.Background(), name) })
	err := builder.SetYAML(text)
	if err == nil || strings.Contains(err.Error(), templates.UnsetVariable("")) {
		return nil
	}
	line := lineOf(err)
	if slices.ContainsFunc(found, func(f Finding) bool { return f.Line == line }) {
		return nil
	}
	return []Finding{{Line: line, Column: 1, What: OneLine(err.Error())}}
}

// lineInError finds the line in an error of the YAML library's, or of the
// engine's.
var lineInError = regexp.MustCompile(`line (\d+)|^\((\d+),\d+\) `)

func lineOf(err error) int {
	if m := lineInError.FindStringSubmatch(err.Error()); m != nil {
		if n, err := strconv.Atoi(m[1] + m[2]); err == nil {
			return n
		}
	}
	return 1
}

// OneLine puts the lines of a text behind each other.
func OneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; ")
}
