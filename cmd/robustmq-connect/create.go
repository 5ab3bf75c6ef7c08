package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// createPipelineCommand replaces upstream's command of that name: upstream's prints a
// value for each optional field, which the field itself may refuse, and a default
// number of threads that does not keep the order.
func createPipelineCommand(echoEnv *service.Environment) *ucli.Command {
	return &ucli.Command{
		Name:      "create",
		Usage:     "Print a pipeline of the components that you name",
		ArgsUsage: "[INPUT/PROCESSORS/OUTPUT]",
		Description: `Names an input, processors and an output, each of which may be missing or several,
separated by commas:

  robustmq-connect create robustmq_kafka//robustmq_kafka
  robustmq-connect create --small mqtt/mapping,log/kafka_franz
  robustmq-connect create kafka_franz/robustmq_envelope/mqtt

Fill in what says "required"; a field behind a # is not set unless you remove the #.
"robustmq-connect list" names the components.`,
		Flags: []ucli.Flag{
			&ucli.BoolFlag{Name: "small", Aliases: []string{"s"}, Usage: "print the input, the processors and the output alone, without advanced fields"},
			&ucli.StringSliceFlag{Name: "env-file", Aliases: []string{"e"}, Usage: "take environment variables from a dotenv file"},
			&ucli.StringSliceFlag{Name: "templates", Aliases: []string{"t"}, Usage: "import templates, glob patterns included"},
		},
		Action: func(c *ucli.Context) error {
			if err := loadEnvFiles(c.StringSlice("env-file")); err != nil {
				return err
			}
			if err := importTemplates(echoEnv, c.StringSlice("templates")); err != nil {
				return err
			}
			if c.NArg() > 1 {
				return fmt.Errorf("creating a pipeline: %q is after the components; flags must be before them", c.Args().Get(1))
			}
			text, err := createPipeline(echoEnv, c.Args().First(), c.Bool("small"))
			if err != nil {
				return fmt.Errorf("creating a pipeline: %w", err)
			}
			_, err = io.WriteString(c.App.Writer, text)
			return err
		},
	}
}

// createPipeline renders the components of an expression with all their fields.
func createPipeline(echoEnv *service.Environment, expression string, small bool) (string, error) {
	conf, err := parseExpression(echoEnv, expression)
	if err != nil {
		return "", err
	}
	schema := mainSchema(echoEnv)
	if small {
		schema = echoEnv.CoreConfigSchema(buildVersion(), buildDate())
		setPipelineDefaults(schema)
	}
	marshaller := schema.NewStreamConfigMarshaller().SetHydrateExamples(true).SetOmitDeprecated(true)
	if small {
		marshaller.SetFieldFilter(func(field *service.FieldView, _ any) bool { return !field.IsAdvanced() })
	}
	text, err := marshaller.AnyToYAML(conf)
	if err != nil {
		return "", err
	}
	return withoutOptionalFields(text), nil
}

// parseExpression reads INPUT/PROCESSORS/OUTPUT.
func parseExpression(env *service.Environment, expression string) (map[string]any, error) {
	conf := map[string]any{
		"input":    map[string]any{"stdin": map[string]any{}},
		"pipeline": map[string]any{"processors": []any{}},
		"output":   map[string]any{"stdout": map[string]any{}},
	}
	parts := strings.Split(expression, "/")
	if len(parts) > 3 {
		return nil, fmt.Errorf("%q has more than two slashes; want INPUT/PROCESSORS/OUTPUT", expression)
	}
	for i, part := range parts {
		kind := []string{"input", "processor", "output"}[i]
		var components []any
		for name := range strings.SplitSeq(part, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			if !hasComponent(env, kind, name) {
				return nil, fmt.Errorf("%q is not a component of kind %s in this program; \"%s list %ss\" prints them", name, kind, cli.BinaryName, kind)
			}
			components = append(components, map[string]any{"type": name})
		}
		switch {
		case len(components) == 0:
		case kind == "processor":
			conf["pipeline"] = map[string]any{"processors": components}
		case len(components) == 1:
			conf[kind] = components[0]
		default:
			conf[kind] = map[string]any{"broker": map[string]any{kind + "s": components}}
		}
	}
	return conf, nil
}

func hasComponent(env *service.Environment, kind, name string) bool {
	for _, list := range componentLists(env) {
		if list.kind == kind+"s" {
			all, _ := list.components() // one without a description is not there
			return slices.ContainsFunc(all, func(c component) bool { return c.name == name })
		}
	}
	return false
}

var optionalField = regexp.MustCompile(`^( *(?:- )*)(\S+:)(.*?) *# No default \(optional\)$`)

// withoutOptionalFields turns each optional field into a comment. The engine gives it
// an example as its value, which is kept, or the zero value of its type, which says
// nothing and may be wrong.
func withoutOptionalFields(text string) string {
	var lines []string
	depth := -1 // of the field whose inner lines become comments
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if depth >= 0 && keyIndent(line) > depth {
			lines = append(lines, strings.Repeat(" ", depth)+"# "+line[depth:])
			continue
		}
		depth = -1
		if m := optionalField.FindStringSubmatch(line); m != nil {
			depth = len(m[1])
			switch strings.TrimSpace(m[3]) {
			case `""`, "0", "[]", "{}", "false":
				m[3] = ""
			}
			line = m[1] + "# " + m[2] + m[3]
		}
		lines = append(lines, line)
	}
	for i, line := range lines {
		if strings.HasSuffix(line, ":") && !isComment(line) && !hasValueBelow(lines[i+1:], keyIndent(line)) {
			lines[i] += " {}"
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// hasValueBelow reports whether the first lines with a deeper indentation contain more
// than comments.
func hasValueBelow(lines []string, indent int) bool {
	for _, line := range lines {
		switch {
		case keyIndent(line) <= indent:
			return false
		case !isComment(line):
			return true
		}
	}
	return false
}

func isComment(line string) bool { return strings.HasPrefix(strings.TrimLeft(line, " -"), "#") }

// keyIndent returns the indentation of a line's key, after the dash of a list.
func keyIndent(line string) int { return len(line) - len(strings.TrimLeft(line, " -")) }
