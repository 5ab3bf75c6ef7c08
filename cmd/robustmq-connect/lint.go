package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/control"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// lintCommand replaces upstream's command of that name. It has the same flags, and
// checks values where upstream's checks only names.
func lintCommand(env *service.Environment) *ucli.Command {
	return &ucli.Command{
		Name:      "lint",
		Usage:     "Check pipeline files and report everything that is wrong with them",
		ArgsUsage: "FILE...",
		Description: `Exits with code 1 if anything is wrong:

  robustmq-connect lint ./pipeline.yaml
  robustmq-connect lint ./config/*.yaml ./README.md
  robustmq-connect lint ./config/...

A path that ends with '...' means every .yaml and .yml file below it. In a Markdown
file every yaml snippet is checked. No network is needed. lint judges the names of
fields and their values: addresses, topic names and filters,
ranges, units, words, files, interpolations.

A setting that is legal but makes a pipeline from MQTT to Kafka lose, repeat or
reorder messages gets a line with "warning:". Warnings do not change the exit code.`,
		Flags: []ucli.Flag{
			&ucli.BoolFlag{Name: "deprecated", Usage: "also report deprecated fields"},
			&ucli.BoolFlag{Name: "labels", Usage: "also report components without a label"},
			&ucli.BoolFlag{Name: "skip-env-var-check", Usage: "do not report environment variables that are not set and have no default"},
			&ucli.BoolFlag{Name: "skip-file-check", Usage: "do not report certificate files that do not exist, for linting on another machine"},
			&ucli.BoolFlag{Name: "verbose", Usage: "print the result of each file"},
			&ucli.StringSliceFlag{Name: "resources", Aliases: []string{"r"}, Usage: "also check these resource files, glob patterns included"},
			&ucli.StringSliceFlag{Name: "env-file", Aliases: []string{"e"}, Usage: "take environment variables from a dotenv file"},
			&ucli.StringSliceFlag{Name: "templates", Aliases: []string{"t"}, Usage: "import templates, glob patterns included"},
		},
		Action: func(c *ucli.Context) error { return lintAction(c, env) },
	}
}

func lintAction(c *ucli.Context, env *service.Environment) error {
	if err := loadEnvFiles(c.StringSlice("env-file")); err != nil {
		return err
	}
	standIns, err := lint.StandIns(env)
	if err != nil {
		return err
	}
	if err := importTemplates(standIns, c.StringSlice("templates")); err != nil {
		return err
	}
	targets := append(c.Args().Slice(), c.StringSlice("resources")...)
	if conf := c.String("config"); conf != "" {
		targets = append(targets, conf)
	}
	paths, err := expandPaths(targets)
	if err != nil {
		return err
	}
	l := newLinter(standIns, lint.Options{
		Deprecated:   c.Bool("deprecated"),
		Labels:       c.Bool("labels"),
		SkipEnvCheck: c.Bool("skip-env-var-check"),
		SkipFiles:    c.Bool("skip-file-check"),
		Warnings:     true,
	})
	failed := false
	for _, path := range paths {
		findings := l.file(path)
		wrong := slices.ContainsFunc(findings, func(f lint.Finding) bool { return !f.Warning })
		for _, f := range findings {
			printFinding(c.App.ErrWriter, path, f)
		}
		if c.Bool("verbose") {
			result := "OK"
			if wrong {
				result = "FAILED"
			}
			fmt.Fprintf(c.App.Writer, "%s: %s\n", path, result)
		}
		failed = failed || wrong
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}

func printFinding(w io.Writer, path string, f lint.Finding) {
	fmt.Fprintf(w, "%s(%d,%d) %s\n", path, f.Line, f.Column, oneLine(f.String()))
}

// documentLinter checks a pipeline that is not in a file of this machine: its variables
// need not be set here.
func documentLinter(env *service.Environment) control.Linter {
	return func(document []byte) ([]lint.Finding, error) {
		standIns, err := lint.StandIns(env)
		if err != nil {
			return nil, err
		}
		return newLinter(standIns, lint.Options{SkipEnvCheck: true}).yaml(string(document), false), nil
	}
}

// linter checks files.
type linter struct{ rules *lint.Linter }

func newLinter(standIns *service.Environment, opts lint.Options) *linter {
	return &linter{lint.New(standIns, mainSchema(standIns), opts)}
}

func (l *linter) file(path string) []lint.Finding {
	text, err := os.ReadFile(path)
	if err != nil {
		return []lint.Finding{{Line: 1, Column: 1, What: err.Error()}}
	}
	switch {
	case filepath.Ext(path) == ".md":
		return l.markdown(string(text))
	case isConnector(text):
		return []lint.Finding{{Line: 1, Column: 1, What: connectorAdvice(path)}}
	}
	return append(l.yaml(string(text), false), missingInput(string(text))...)
}

// openingFence is the first line of a fenced code block (CommonMark 4.5).
var openingFence = regexp.MustCompile("^([ \t]*(?:[-*+]|[0-9]+[.)])?[ \t]*)(`{3,}|~{3,})[ \t]*([A-Za-z]*)")

// markdown checks each yaml snippet. An environment variable of a snippet is an
// example and need not be set, and a file that it names need not exist.
func (l *linter) markdown(text string) []lint.Finding {
	var all []lint.Finding
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		m := openingFence.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		first := i + 1
		i++
		for i < len(lines) && !closesFence(lines[i], m[2]) {
			i++
		}
		if word := strings.ToLower(m[3]); word != "yaml" && word != "yml" {
			continue
		}
		if i == len(lines) {
			all = append(all, lint.Finding{Line: first, Column: 1, What: "the yaml snippet does not end; add " + m[2]})
		}
		snippet := make([]string, 0, i-first)
		for _, line := range lines[first:i] {
			indent := len(line) - len(strings.TrimLeft(line, " \t"))
			snippet = append(snippet, line[min(indent, len(m[1])):])
		}
		for _, f := range l.yaml(strings.Join(snippet, "\n"), true) {
			f.Line += first
			f.Column += len(m[1])
			all = append(all, f)
		}
	}
	return all
}

// closesFence reports whether a line ends the block that the fence opened: at least as
// many of the same character and nothing else.
func closesFence(line, fence string) bool {
	line = strings.TrimSpace(line)
	return len(line) >= len(fence) && strings.Trim(line, fence[:1]) == ""
}

func (l *linter) yaml(text string, example bool) []lint.Finding {
	return l.rules.YAML(text, example)
}

// expandPaths resolves glob patterns and paths that end with '...'. A target without a
// file is an error: a check that checks nothing must not pass.
func expandPaths(targets []string) ([]string, error) {
	if len(targets) == 0 {
		return nil, errors.New("linting: no file was given; name one, or a folder with '...' after it")
	}
	var paths []string
	for _, target := range targets {
		found := []string{target}
		var err error
		if root, ok := strings.CutSuffix(target, "..."); ok {
			found, err = yamlBelow(filepath.Clean(root))
		} else if strings.ContainsAny(target, "*?[") {
			found, err = filepath.Glob(target)
		}
		if err != nil {
			return nil, fmt.Errorf("looking for files of %q: %w", target, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("looking for files of %q: it matches no file", target)
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func yamlBelow(root string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err == nil && !entry.IsDir() && (ext == ".yaml" || ext == ".yml") {
			found = append(found, path)
		}
		return err
	})
	return found, err
}

func loadEnvFiles(patterns []string) error {
	return eachFile("env file", patterns, func(text []byte) error {
		vars, err := service.ParseEnvFile(text)
		if err != nil {
			return err
		}
		for name, value := range vars {
			if err := os.Setenv(name, value); err != nil {
				return fmt.Errorf("setting %s: %w", name, err)
			}
		}
		return nil
	})
}

func importTemplates(env *service.Environment, patterns []string) error {
	return eachFile("template", patterns, func(text []byte) error {
		return env.RegisterTemplateYAML(string(text))
	})
}

// eachFile calls use with the text of every file that the patterns match, in the order of
// the patterns: the last of several env files takes precedence.
func eachFile(what string, patterns []string, use func(text []byte) error) error {
	for _, pattern := range patterns {
		paths, err := expandPaths([]string{pattern})
		if err != nil {
			return err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err == nil {
				err = use(text)
			}
			if err != nil {
				return fmt.Errorf("reading %s %s: %w", what, path, err)
			}
		}
	}
	return nil
}

func oneLine(text string) string {
	return lint.OneLine(text)
}

// printError writes an error as one line.
func printError(w io.Writer, err error) {
	if text := strings.TrimSpace(err.Error()); text != "" {
		text = textExpected.ReplaceAllString(text, "$1; put it in quotes")
		// Upstream does not insert its own name in one place.
		text = strings.ReplaceAll(text, "{{.ProductName}}", productName)
		fmt.Fprintln(w, cli.BinaryName+": "+oneLine(text))
	}
}
