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

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/templates"
)

var update = flag.Bool("update", false, "write the generated tables into the README")

const readmePath = "../../README.md"

var tableMarks = regexp.MustCompile(`(?s)<!-- fields of (\w+) (\w+) -->\n.*?<!-- end of fields -->`)

func TestREADMETablesAreThoseOfTheSpecs(t *testing.T) {
	readme, err := os.ReadFile(readmePath)
	require.NoError(t, err)
	env, err := templates.EchoEnvironment(service.GlobalEnvironment())
	require.NoError(t, err)
	tables := 0
	fresh := tableMarks.ReplaceAllStringFunc(string(readme), func(old string) string {
		tables++
		m := tableMarks.FindStringSubmatch(old)
		return fmt.Sprintf("<!-- fields of %s %s -->\n%s<!-- end of fields -->", m[1], m[2], fieldTable(t, env, m[1], m[2]))
	})
	require.Equal(t, 3, tables, "the README shows the fields of the input, the output and the processor")
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
	text, err := templates.SpecJSON(env, kind, name)
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
	targets, commands := 0, 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)\n```").FindAllSubmatch(readme, -1) {
		for line := range strings.Lines(string(block[1])) {
			words := strings.Fields(line)
			switch words[0] {
			case "make":
				targets++
				assert.Regexp(t, `(?m)^`+words[1]+`:`, string(makefile))
			case binaryName:
				commands++
				call := parseInvocation(words[1:])
				assert.False(t, call.bare, line)
				if call.command != "" {
					assert.Contains(t, commandNames(), call.command)
				}
			}
		}
	}
	assert.GreaterOrEqual(t, targets, 5)
	assert.GreaterOrEqual(t, commands, 3)
}

func commandNames() []string {
	return []string{"lint", "run", "streams", "test", "echo", "create", "list", demoCommand().Name, completionCommand().Name, mqttCommand(service.GlobalEnvironment()).Name}
}
