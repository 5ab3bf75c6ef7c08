package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"
)

// finder turns the findings of the engine and the rules into findings at values.
type finder struct {
	*tree
	root     *node
	findings []Finding
}

// addAt adds a finding at a value.
func (f *finder) addAt(n *node, what string) {
	p := f.places[n]
	f.add(n, n.path, strings.Join(p.path, "."), what)
}

// add adds a finding about a field at a value, or about a field that is missing there.
func (f *finder) add(n *node, path []string, field, what string) {
	f.findings = append(f.findings, Finding{Line: n.at.line, Column: n.at.column, Path: path, Field: field, What: what})
}

// engine adds the findings of the engine's own linter in the rendered tree. The lint's
// type says what is wrong and its line says where. Its text is used only if these do
// not say everything.
func (f *finder) engine(r *rendered, lints []service.Lint) {
	missing := map[*node]bool{}
	for _, lint := range lints {
		n, below := r.valueAt(lint.Line)
		key := r.keys[lint.Line]
		switch {
		case lint.Type == service.LintUnknown && key != nil:
			f.unknownField(key)
		case n == nil:
			f.findings = append(f.findings, Finding{Line: 1, Column: 1, What: lint.What})
		case n.unset:
		case lint.Type == service.LintMissing:
			if !missing[n] {
				f.missingFields(n)
			}
			missing[n] = true
		case lint.Type == service.LintComponentMissing, lint.Type == service.LintComponentNotFound:
			f.unknownComponent(n)
		case lint.Type == service.LintExpectedArray, lint.Type == service.LintExpectedObject, lint.Type == service.LintExpectedScalar:
			f.wrongShape(n, lint.Type)
		case isInvalidOption(lint.Type) && len(f.places[n].spec.words()) > 0:
			f.addAt(n, notAWord("value", n.value, f.places[n].spec.words()))
		case lint.Type == service.LintDuplicateLabel:
			f.duplicateLabel(n)
		case lint.Type == service.LintDeprecated && f.places[n].of != nil && f.places[n].of.whole != n:
			f.addAt(n, "is deprecated")
		default:
			f.addAt(n, lint.What)
			f.belowFirstLine(n, below)
		}
	}
}

// isInvalidOption reports whether a value is not one of its field's words. The engine's
// rule for that uses the number of LintMissingEnvVar, which cannot occur in a rendered
// tree: it has no variables.
func isInvalidOption(t service.LintType) bool {
	return t == service.LintInvalidOption || t == service.LintMissingEnvVar
}

// belowFirstLine moves the last finding to a line within a text of several lines.
func (f *finder) belowFirstLine(n *node, below int) {
	below = min(below, strings.Count(strings.TrimRight(n.value, "\n"), "\n"))
	if last := &f.findings[len(f.findings)-1]; n.text.line+below > last.Line {
		last.Line, last.Column = n.text.line+below, 1
	}
}

// missingFields reports the required fields that a mapping does not have.
func (f *finder) missingFields(n *node) {
	p := f.places[n]
	spec := p.spec
	if p.of != nil && n == p.of.conf {
		spec = &p.of.spec
	}
	if spec == nil {
		return
	}
	for i := range spec.Children {
		if child := &spec.Children[i]; child.required() && n.member(child.Name) == nil {
			f.add(n, extend(n.path, child.Name), strings.Join(extend(p.path, child.Name), "."), "is required"+aboutField(child))
		}
	}
}

// aboutField returns the first sentence of a field's description.
func aboutField(spec *fieldSpec) string {
	sentence, _, _ := strings.Cut(strings.TrimSpace(spec.Description), ". ")
	sentence, _, _ = strings.Cut(strings.TrimSuffix(sentence, "."), "\n")
	if sentence == "" {
		return ""
	}
	return ": " + strings.ToLower(sentence[:1]) + sentence[1:]
}

// unknownField reports a name that no field has at that place, and suggests where it
// belongs.
func (f *finder) unknownField(key *node) {
	if key.unset {
		return
	}
	above := f.root.follow(key.path[:len(key.path)-1])
	p := f.places[above]
	field := strings.Join(extend(p.path, key.value), ".")
	report := func(format string, args ...any) { f.add(key, key.path, field, fmt.Sprintf(format, args...)) }
	name := key.value
	isPart := f.schema.pipeline.child(name) != nil
	switch {
	case p.of == nil && len(key.path) == 1 && f.kindsOf(name) != nil:
		kind := f.kindsOf(name)[0]
		report("is the name of %s; indent it below %s:", article(kind), kind)
	case p.of == nil:
		report("is not a field of a pipeline%s", f.didYouMean(nil, name))
	case above == p.of.whole && p.of.spec.child(name) != nil:
		report("belongs to %s; indent it further, below %s:", p.of.name, p.of.name)
	case isPart && p.of.spec.child(name) == nil:
		report("belongs to the pipeline and not to %s; write it without indentation", p.of.name)
	case above == p.of.whole && slices.Contains(f.kindsOf(name), p.of.kind):
		report("is next to %s, and only one of them can be %s; remove one, or put both into a broker", p.of.name, article(p.of.kind))
	case above != p.of.whole && (name == "label" || name == "processors"):
		report("must be at the level of %s, not below it; indent both alike", p.of.name)
	default:
		report("is not a field of %s%s", p.of.name, f.didYouMean(p.of, name))
	}
}

// kindsOf returns the kinds of component that have one with that name.
func (f *finder) kindsOf(name string) []string {
	var found []string
	for _, kind := range []string{"input", "output", "processor", "buffer", "cache", "rate_limit", "metrics", "tracer", "scanner"} {
		if _, ok := f.schema.components[kind][name]; ok {
			found = append(found, kind)
		}
	}
	return found
}

// unknownComponent reports a mapping without the name of a component of the expected
// kind.
func (f *finder) unknownComponent(n *node) {
	spec := f.places[n].spec
	if spec == nil {
		spec = &fieldSpec{Type: "component"}
	}
	kind := spec.Type
	named := n.keys
	if explicit := n.member("type"); explicit != nil {
		named = []*node{explicit}
	}
	named = slices.DeleteFunc(slices.Clone(named), func(key *node) bool {
		return key.value == "label" || key.value == "processors" || key.value == "plugin"
	})
	known := func(key *node) bool { return slices.Contains(f.kindsOf(key.value), kind) }
	switch first := slices.IndexFunc(named, known); {
	case len(named) == 0:
		f.addAt(n, "names no "+kind)
	case slices.ContainsFunc(named, func(key *node) bool { return key.unset }):
	case first >= 0:
		for _, key := range named[first+1:] {
			if known(key) {
				f.unknownField(key)
			}
		}
	default:
		key := named[0]
		what := fmt.Sprintf("%s is not %s of this program", key.value, article(kind))
		near := nearest(key.value, keysOf(f.schema.components[kind]))
		switch others := f.kindsOf(key.value); {
		case len(others) > 0:
			what = fmt.Sprintf("%s is %s and not %s", key.value, article(others[0]), article(kind))
		case f.schema.pipeline.child(key.value) != nil:
			what = key.value + " belongs to the pipeline; write it without indentation"
		case near != "":
			what += fmt.Sprintf("; did you mean %q?", near)
		default:
			what += fmt.Sprintf("; robustmq-connect list %ss prints them", kind)
		}
		f.add(key, n.path, "", what)
	}
}

func keysOf(m map[string]fieldSpec) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func article(kind string) string {
	if strings.ContainsAny(kind[:1], "aeiou") {
		return "an " + kind
	}
	return "a " + kind
}

// wrongShape reports a single value, a list or an object where another of these is
// expected.
func (f *finder) wrongShape(n *node, wanted service.LintType) {
	p := f.places[n]
	given := map[yaml.Kind]string{yaml.MappingNode: "an object", yaml.SequenceNode: "a list", yaml.ScalarNode: n.value}[n.kind]
	name := "it"
	if len(p.path) > 0 {
		name = p.path[len(p.path)-1]
	} else if p.of != nil {
		name = p.of.name
	}
	switch wanted {
	case service.LintExpectedArray:
		switch {
		case n.isNull():
			f.addAt(n, "must be a list; indent its items below it")
		case n.kind == yaml.MappingNode && len(n.keys) > 0:
			f.addAt(n, fmt.Sprintf("must be a list; write a dash in front of the first field of each item: - %s:", n.keys[0].value))
		default:
			f.addAt(n, fmt.Sprintf("must be a list; write %s: [ %s ]", name, n.value))
		}
	case service.LintExpectedScalar:
		f.addAt(n, fmt.Sprintf("must be one value, not %s%s", given, several[p.key()]))
	default:
		f.wantsFields(n, name, given)
	}
}

// several advises what to do about a list in a field for one value.
var several = map[string]string{
	"input.robustmq_kafka.topic_id":           "; for several filters write an input broker with a robustmq_kafka for each, as config/several_filters.yaml does",
	"output.robustmq_kafka.topic":             "; for several topics take the topic from the message: ${! @mqtt_topic.replace_all(\"/\", \".\") }",
	"output.robustmq_kafka.bootstrap_servers": "; separate several brokers by commas",
}

// key returns the name of a field, as kind.component.field.
func (p place) key() string {
	if p.of == nil {
		return strings.Join(p.path, ".")
	}
	return p.of.kind + "." + p.of.name + "." + strings.Join(p.path, ".")
}

func (f *finder) wantsFields(n *node, name, given string) {
	p := f.places[n]
	spec := p.spec
	if p.of != nil && n == p.of.conf {
		spec = &p.of.spec
		// Fields beside the component, because of missing indentation, are reported
		// themselves.
		if slices.ContainsFunc(p.of.whole.keys, func(key *node) bool { return spec.child(key.value) != nil }) {
			return
		}
	}
	first := ""
	if spec != nil && len(spec.Children) > 0 {
		first = spec.Children[0].Name
	}
	switch {
	case n.isNull() && first == "":
		f.addAt(n, "has no fields; indent them below "+name+":, or write {}")
	case n.isNull():
		f.addAt(n, fmt.Sprintf("has no fields; indent them below %s:, %s for example", name, first))
	case n.tag == "!!bool" && spec.child("enabled") != nil:
		f.addAt(n, fmt.Sprintf("must be fields, not %s; write enabled: %s on a line of its own, indented below %s:", given, n.value, name))
	case first != "":
		f.addAt(n, fmt.Sprintf("must be fields, not %s; write them below %s:, %s for example", given, name, first))
	default:
		f.addAt(n, "must be fields, not "+given)
	}
}

func (f *finder) duplicateLabel(n *node) {
	line := 0
	for _, c := range f.components {
		if c.label != nil && c.label != n && c.label.value == n.value && (line == 0 || c.label.at.line < line) {
			line = c.label.at.line
		}
	}
	f.addAt(n, fmt.Sprintf("%q is already the label at line %d; give each component its own label", n.value, line))
}

// rules adds the findings of the rule sets about the components and the pipeline.
func (f *finder) rules(skipFiles bool) {
	for _, c := range f.components {
		check := ruleSetOf(c.kind, c.name)
		if check == nil || c.conf == nil || c.conf.kind != yaml.MappingNode {
			continue
		}
		conf := f.valueOf(c.conf).(map[string]any)
		f.problems(c.conf, problemsOf(check, conf, skipFiles))
	}
	for n, p := range f.places {
		if n.kind == yaml.ScalarNode && !n.unset && p.spec != nil && p.spec.Kind == "scalar" {
			f.valueType(n, p)
		}
	}
	if f.root.kind == yaml.MappingNode {
		f.problems(f.root, engineProblems(f.valueOf(f.root).(map[string]any)))
	}
}

func (f *finder) problems(conf *node, problems []Problem) {
	for _, problem := range problems {
		path := strings.Split(problem.Path, ".")
		n := conf.follow(path)
		f.add(n, append(conf.path[:len(conf.path):len(conf.path)], path...), problem.Path, problem.What)
	}
}

// yaml returns a scalar for the YAML library.
func (n *node) yaml() *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: n.tag, Value: n.value}
}

// Unset is the value of a setting with a variable that has no value where lint runs. No
// rule checks it.
type Unset struct{}

// valueOf returns a value as the engine would pass it to its component.
func (f *finder) valueOf(n *node) any {
	switch n.kind {
	case yaml.MappingNode:
		object := make(map[string]any, len(n.keys))
		for i, key := range n.keys {
			if !key.unset {
				object[key.value] = f.valueOf(n.items[i])
			}
		}
		return object
	case yaml.SequenceNode:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = f.valueOf(item)
		}
		return list
	}
	if n.unset {
		return Unset{}
	}
	if spec := f.places[n].spec; spec != nil && spec.Type == "string" && !n.isNull() {
		return n.value
	}
	var v any
	if err := n.yaml().Decode(&v); err != nil {
		return n.value // a number that is too large, for example
	}
	return v
}
