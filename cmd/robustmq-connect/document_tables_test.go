package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/lint"
)

var update = flag.Bool("update", false, "write the generated tables into the documents")

var (
	expressionMarks = regexp.MustCompile(`(?s)<!-- expressions -->\n.*?<!-- end of expressions -->`)
	tableMarks      = regexp.MustCompile(`(?s)<!-- fields of (\w+) (\w+) -->\n.*?<!-- end of fields -->`)
)

func TestDocumentTablesAreThoseOfTheSpecs(t *testing.T) {
	env, err := lint.StandIns(service.GlobalEnvironment())
	require.NoError(t, err)
	tables := 0
	for path, text := range documents(t) {
		fresh := tableMarks.ReplaceAllStringFunc(text, func(old string) string {
			tables++
			m := tableMarks.FindStringSubmatch(old)
			return fmt.Sprintf("<!-- fields of %s %s -->\n%s<!-- end of fields -->", m[1], m[2], fieldTable(t, env, m[1], m[2]))
		})
		if expressionMarks.MatchString(fresh) {
			tables++
			fresh = expressionMarks.ReplaceAllLiteralString(fresh, "<!-- expressions -->\n"+expressionTables()+"<!-- end of expressions -->")
		}
		switch {
		case fresh == text:
		case *update:
			require.NoError(t, os.WriteFile(filepath.Join(top, path), []byte(fresh), 0o644))
		default: // two whole files would be printed
			t.Errorf("the tables of %s are stale; run make docs", path)
		}
	}
	require.Equal(t, 12, tables, "the fields of five inputs, four outputs, the processor and the tracer, and the expressions")
}

// fieldTable renders a component's fields as a Markdown table.
func fieldTable(t *testing.T, env *service.Environment, kind, name string) string {
	t.Helper()
	text, err := lint.SpecJSON(env, kind, name)
	require.NoError(t, err)
	var spec struct {
		Config struct {
			Children []struct {
				Name, Type, Kind, Description string
				IsOptional                    bool `json:"is_optional"`
				IsDeprecated                  bool `json:"is_deprecated"`
				Default                       any
				Options                       []string
				AnnotatedOptions              [][2]string `json:"annotated_options"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &spec))
	var b strings.Builder
	b.WriteString("| field | type | default | what it does |\n|---|---|---|---|\n")
	for _, f := range spec.Config.Children {
		if f.IsDeprecated {
			continue
		}
		kind := f.Type
		if kind == "unknown" {
			kind = "any"
		}
		if f.Kind != "scalar" && f.Kind != "" {
			kind = f.Kind + " of " + kind
		}
		standard := "required"
		switch {
		case f.Default != nil:
			value, err := json.Marshal(f.Default)
			require.NoError(t, err)
			standard = "`" + string(value) + "`"
		case f.IsOptional, f.Type == "object": // an object has the defaults of its own fields
			standard = "none"
		}
		description := strings.Join(strings.Fields(f.Description), " ")
		description += options(description, f.Options, f.AnnotatedOptions)
		description = strings.ReplaceAll(description, "|", `\|`)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, kind, standard, description)
	}
	return b.String()
}

// options says which values a field takes, and what each of them does. A description may
// name all of them itself.
func options(description string, plain []string, annotated [][2]string) string {
	var all []string
	named := true
	for _, o := range plain {
		all = append(all, "`"+o+"`")
		named = named && strings.Contains(description, "`"+o+"`")
	}
	for _, o := range annotated {
		what := strings.TrimSuffix(strings.Join(strings.Fields(o[1]), " "), ".")
		if len(what) > 1 && unicode.IsLower(rune(what[1])) {
			what = strings.ToLower(what[:1]) + what[1:]
		}
		all = append(all, "`"+o[0]+"`: "+what)
		named = false
	}
	switch {
	case named:
		return ""
	case len(all) == 1:
		return " It may be " + all[0] + "."
	}
	return " One of " + strings.Join(all, "; ") + "."
}
