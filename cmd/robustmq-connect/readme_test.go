package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/control"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/demo"
	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

var update = flag.Bool("update", false, "write the generated tables into the README")

const readmePath = "../../README.md"

var expressionMarks = regexp.MustCompile(`(?s)<!-- expressions -->\n.*?<!-- end of expressions -->`)

var tableMarks = regexp.MustCompile(`(?s)<!-- fields of (\w+) (\w+) -->\n.*?<!-- end of fields -->`)

func TestREADMETablesAreThoseOfTheSpecs(t *testing.T) {
	readme, err := os.ReadFile(readmePath)
	require.NoError(t, err)
	env, err := lint.StandIns(service.GlobalEnvironment())
	require.NoError(t, err)
	tables := 0
	fresh := tableMarks.ReplaceAllStringFunc(string(readme), func(old string) string {
		tables++
		m := tableMarks.FindStringSubmatch(old)
		return fmt.Sprintf("<!-- fields of %s %s -->\n%s<!-- end of fields -->", m[1], m[2], fieldTable(t, env, m[1], m[2]))
	})
	require.Equal(t, 3, tables, "the README shows the fields of the input, the output and the processor")
	require.Regexp(t, expressionMarks, fresh)
	fresh = expressionMarks.ReplaceAllLiteralString(fresh, "<!-- expressions -->\n"+expressionTables()+"<!-- end of expressions -->")
	if *update {
		require.NoError(t, os.WriteFile(readmePath, []byte(fresh), 0o644))
		return
	}
	if fresh != string(readme) { // two whole files would be printed
		t.Error("the README's tables are stale; run make docs")
	}
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
				Default                       any
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &spec))
	var b strings.Builder
	b.WriteString("| field | type | default | what it does |\n|---|---|---|---|\n")
	for _, f := range spec.Config.Children {
		kind := f.Type
		if f.Kind != "scalar" && f.Kind != "" {
			kind = f.Kind + " of " + kind
		}
		standard := "required"
		switch {
		case f.Default != nil:
			value, err := json.Marshal(f.Default)
			require.NoError(t, err)
			standard = "`" + string(value) + "`"
		case f.IsOptional:
			standard = "none"
		}
		description := strings.ReplaceAll(strings.Join(strings.Fields(f.Description), " "), "|", `\|`)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, kind, standard, description)
	}
	return b.String()
}

func TestREADMELints(t *testing.T) {
	readme, err := os.ReadFile(readmePath)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, strings.Count(string(readme), "```yaml"), 3)
	_, stderr, err := lintFiles(t, filepath.FromSlash(readmePath))
	require.NoError(t, err, stderr)
}

func TestREADMERecordDecodes(t *testing.T) {
	readme, err := os.ReadFile(readmePath)
	require.NoError(t, err)
	records := regexp.MustCompile("(?ms)^```json\n(.*?)\n```").FindAllSubmatch(readme, -1)
	require.NotEmpty(t, records)
	for _, record := range records {
		_, err := envelope.Decode(record[1], true)
		assert.NoError(t, err)
	}
}

func TestREADMECommandsExist(t *testing.T) {
	readme, err := os.ReadFile(readmePath)
	require.NoError(t, err)
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	own := []*ucli.Command{serveCommand(service.GlobalEnvironment()), control.Command(documentLinter(service.GlobalEnvironment())), demo.Command(), completionCommand(), healthCommand()}
	upstream := []string{"lint", "run", "streams", "test", "echo", "create", "list"}
	targets, commands := 0, 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)\n```").FindAllSubmatch(readme, -1) {
		for line := range strings.Lines(strings.ReplaceAll(string(block[1]), "\\\n", " ")) {
			words := strings.Fields(line)
			switch {
			case len(words) == 0:
			case words[0] == "make":
				targets++
				assert.Regexp(t, `(?m)^`+words[1]+`:`, string(makefile))
			case words[0] == cli.BinaryName:
				commands++
				call := parseInvocation(words[1:])
				assert.False(t, call.bare, line)
				if call.command != "" && !slices.Contains(upstream, call.command) {
					assertCommand(t, own, words[1:], line)
				}
			}
		}
	}
	assert.GreaterOrEqual(t, targets, 5)
	assert.GreaterOrEqual(t, commands, 10)
}

// assertCommand follows the words to the command that they name, and finds every
// flag on the way.
func assertCommand(t *testing.T, commands []*ucli.Command, words []string, line string) {
	t.Helper()
	var known []string
	at := "" // the last command found
	for _, word := range words {
		if flag, isFlag := strings.CutPrefix(word, "--"); isFlag {
			assert.Contains(t, known, flag, line)
			continue
		}
		for _, c := range commands {
			if c.Name == word {
				at, commands = word, c.Subcommands
				for _, flag := range c.Flags {
					known = append(known, flag.Names()...)
				}
				break
			}
		}
	}
	assert.NotEmpty(t, at, "no command of ours: %s", line)
	assert.Empty(t, commands, "%s lacks a subcommand: %s", at, line)
}
