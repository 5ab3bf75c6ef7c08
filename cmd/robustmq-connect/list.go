package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// componentLists walks the components of pipelines, kind by kind.
func componentLists(env *service.Environment) []componentList {
	components := func(kind string, walk func(func(string, *service.ConfigView))) componentList {
		return componentList{kind, func(yield func(string, jsonView)) {
			walk(func(name string, view *service.ConfigView) { yield(name, view) })
		}}
	}
	return []componentList{
		components("inputs", env.WalkInputs),
		components("processors", env.WalkProcessors),
		components("outputs", env.WalkOutputs),
		components("caches", env.WalkCaches),
		components("rate-limits", env.WalkRateLimits),
		components("buffers", env.WalkBuffers),
		components("metrics", env.WalkMetrics),
		components("tracers", env.WalkTracers),
		components("scanners", env.WalkScanners),
		{"bloblang-functions", func(yield func(string, jsonView)) {
			bloblang.GlobalEnvironment().WalkFunctions(func(name string, view *bloblang.FunctionView) { yield(name, view) })
		}},
		{"bloblang-methods", func(yield func(string, jsonView)) {
			bloblang.GlobalEnvironment().WalkMethods(func(name string, view *bloblang.MethodView) { yield(name, view) })
		}},
	}
}

type componentList struct {
	kind string
	walk func(yield func(name string, view jsonView))
}

// jsonView describes a component, or a function of the mapping language.
type jsonView interface{ FormatJSON() ([]byte, error) }

// component is an entry of list.
type component struct{ name, status string }

const deprecated = "deprecated"

// components returns those of the list by name.
func (l componentList) components() ([]component, error) {
	var all []component
	var failed error
	l.walk(func(name string, view jsonView) {
		text, err := view.FormatJSON()
		var spec struct{ Status string }
		if err == nil {
			err = json.Unmarshal(text, &spec)
		}
		if err != nil {
			failed = fmt.Errorf("reading the description of %s: %w", name, err)
		}
		if spec.Status != "hidden" && name != noInputName {
			all = append(all, component{name, spec.Status})
		}
	})
	slices.SortFunc(all, func(a, b component) int { return strings.Compare(a.name, b.name) })
	return all, failed
}

// listComponentsCommand replaces upstream's command of that name, which omits
// components that upstream calls deprecated, the input kafka_franz for example.
// Machine-readable formats are upstream's.
func listComponentsCommand(echoEnv *service.Environment, upstream func(args ...string) error) *ucli.Command {
	return &ucli.Command{
		Name:      "list",
		Usage:     "List the components that pipelines are built of",
		ArgsUsage: "[KIND...]",
		Description: `Without a KIND it lists all of them:

  robustmq-connect list
  robustmq-connect list inputs outputs
  robustmq-connect list --format json processors

A component that is "deprecated" has a successor at upstream; it works.`,
		Flags: []ucli.Flag{
			&ucli.StringFlag{Name: "format", Value: "text", Usage: "print as `FORMAT`: text, json, or with all fields json-full, json-full-scrubbed, jsonschema, cue"},
			&ucli.StringFlag{Name: "status", Usage: "list only what has this `STATUS`: stable, beta, experimental or deprecated"},
			&ucli.StringSliceFlag{Name: "templates", Aliases: []string{"t"}, Usage: "import templates, glob patterns included"},
		},
		Action: func(c *ucli.Context) error {
			format, status := c.String("format"), c.String("status")
			if format != "text" && format != "json" {
				args := []string{"list", "--format", format, "--status", status}
				for _, path := range c.StringSlice("templates") {
					args = append(args, "--templates", path)
				}
				return upstream(append(args, c.Args().Slice()...)...)
			}
			if err := importTemplates(echoEnv, c.StringSlice("templates")); err != nil {
				return err
			}
			kinds, err := componentsByKind(componentLists(echoEnv), c.Args().Slice(), status)
			if err != nil {
				return fmt.Errorf("listing components: %w", err)
			}
			if format == "json" {
				return printKindsJSON(c.App.Writer, kinds)
			}
			return printKinds(c.App.Writer, kinds)
		},
	}
}

type componentKind struct {
	kind       string
	components []component
}

// componentsByKind returns the requested kinds, or all if none is named.
func componentsByKind(lists []componentList, wanted []string, status string) ([]componentKind, error) {
	var names []string
	for _, list := range lists {
		names = append(names, list.kind)
	}
	for _, kind := range wanted {
		if !slices.Contains(names, kind) {
			return nil, fmt.Errorf("%q is not a kind of component; the kinds are %s", kind, strings.Join(names, ", "))
		}
	}
	var kinds []componentKind
	for _, list := range lists {
		if len(wanted) > 0 && !slices.Contains(wanted, list.kind) {
			continue
		}
		all, err := list.components()
		if err != nil {
			return nil, err
		}
		if status != "" {
			all = slices.DeleteFunc(all, func(c component) bool { return c.status != status })
		}
		if len(all) > 0 {
			kinds = append(kinds, componentKind{list.kind, all})
		}
	}
	return kinds, nil
}

func printKinds(w io.Writer, kinds []componentKind) error {
	var b strings.Builder
	for i, kind := range kinds {
		if i > 0 {
			b.WriteByte('\n')
		}
		title := strings.ReplaceAll(kind.kind, "-", " ")
		fmt.Fprintf(&b, "%s:\n", strings.ToUpper(title[:1])+title[1:])
		for _, c := range kind.components {
			mark := ""
			if c.status == deprecated {
				mark = " (deprecated)"
			}
			fmt.Fprintf(&b, "  - %s%s\n", c.name, mark)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printKindsJSON(w io.Writer, kinds []componentKind) error {
	names := map[string][]string{}
	for _, kind := range kinds {
		names[kind.kind] = []string{}
		for _, c := range kind.components {
			names[kind.kind] = append(names[kind.kind], c.name)
		}
	}
	return cli.PrintJSON(w, names)
}
