package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// fileExtensions are those of pipeline files, in any case.
var fileExtensions = []string{".yaml", ".yml", ".json"}

// checkCall refuses commands that upstream would answer with unhelpful errors: a file
// in place of a command, a connector in place of a pipeline.
func checkCall(call invocation) error {
	if slices.Contains(fileExtensions, strings.ToLower(filepath.Ext(call.command))) {
		if text, err := os.ReadFile(call.command); err == nil && isConnector(text) {
			return errors.New(connectorAdvice(call.command))
		}
		return fmt.Errorf("%s is not a command; to run this file: %s -c %s", call.command, cli.BinaryName, call.command)
	}
	if call.runs() && call.config != "" {
		if text, err := os.ReadFile(call.config); err == nil && isConnector(text) {
			return errors.New(connectorAdvice(call.config))
		}
	}
	if call.help {
		return nil
	}
	return checkStreams(call.streams)
}

// checkStreams refuses streams without an input, for which upstream reads standard
// input. Upstream reports other errors in the files.
func checkStreams(paths []string) error {
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if files, err = yamlBelow(path); err != nil {
				return nil
			}
		} else if err != nil {
			files, _ = filepath.Glob(path) // an invalid pattern matches no file
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil || isTestFile(file) {
				continue
			}
			if isConnector(text) {
				return errors.New(connectorAdvice(file))
			}
			if root := mappingOf(text); root != nil && !hasMember(root, "input") {
				return fmt.Errorf("%s(%d,%d) input: %s", file, root.Line, root.Column, noInput)
			}
		}
	}
	return nil
}

// isTestFile reports a file of upstream's test command, which a folder of pipelines may
// contain.
func isTestFile(path string) bool {
	return strings.HasSuffix(strings.TrimSuffix(path, filepath.Ext(path)), "_benthos_test")
}

// isConnector distinguishes a connector's JSON from a pipeline.
func isConnector(text []byte) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return false
	}
	_, name := fields["connector_name"]
	_, kind := fields["connector_type"]
	return name || kind
}

func connectorAdvice(path string) string {
	return fmt.Sprintf("%s is a connector, not a pipeline; print its pipeline: %s mqtt connector export -f %s > pipeline.yaml",
		path, cli.BinaryName, path)
}

// noInput is the error about a pipeline without an input, in lint and at a run.
const noInput = "is missing; add one, for example robustmq_kafka with its topic_id"

// missingInput reports a file that is a pipeline without an input. A file of resources
// or tests is not a pipeline.
func missingInput(text string) []lint.Finding {
	root := mappingOf([]byte(text))
	if root == nil || hasMember(root, "input") {
		return nil
	}
	var first *yaml.Node
	for i := 0; i < len(root.Content) && first == nil; i += 2 {
		switch key := root.Content[i]; key.Value {
		case "output", "pipeline", "buffer":
			first = key
		}
	}
	if first == nil {
		return nil
	}
	return []lint.Finding{{Line: first.Line, Column: first.Column, Path: []string{"input"}, Field: "input", What: noInput}}
}

// mappingOf returns the YAML mapping in a text, or nil.
func mappingOf(text []byte) *yaml.Node {
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil || len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	return root.Content[0]
}

func hasMember(mapping *yaml.Node, name string) bool {
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return true
		}
	}
	return false
}

// noInputName is the input of a pipeline that names none. Upstream's default is stdin:
// a service without a terminal would start, read nothing and end.
const noInputName = "robustmq_no_input"

func registerNoInput(env *service.Environment) error {
	spec := service.NewConfigSpec().Deprecated().Summary("Fails, for a pipeline that names no input.").
		Field(service.NewObjectField("").Default(map[string]any{}))
	return env.RegisterInput(noInputName, spec,
		func(*service.ParsedConfig, *service.Resources) (service.Input, error) {
			return nil, errors.New("input: " + noInput)
		})
}

// textExpected matches the engine's error about a number or a bool in place of a text. It
// ends with the value, which may be a secret: the engine fails so while it hides those.
var textExpected = regexp.MustCompile(`(expected string value, got \w+)( from [^(]*)?( ?\(.*\))?$`)

// printRunError prints why a pipeline did not start. If lint finds the error in the
// file too, it prints lint's finding, which names the line.
func printRunError(w io.Writer, env *service.Environment, call invocation, err error) {
	wrongType := textExpected.MatchString(err.Error())
	standIns, lintErr := lint.StandIns(env)
	if lintErr != nil || call.config == "" {
		printError(w, err)
		return
	}
	// With --set, the file alone is not what was run.
	ofFile := !call.sets && (wrongType || strings.Contains(err.Error(), "linter errors") || strings.Contains(err.Error(), "configuration file read error"))
	located := false
	for _, f := range newLinter(standIns, lint.Options{}).file(call.config) {
		if ofFile || strings.Contains(oneLine(err.Error()), oneLine(f.String())) {
			located = true
			printFinding(w, call.config, f)
		}
	}
	if !located {
		printError(w, err)
	}
}
