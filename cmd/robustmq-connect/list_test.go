package main

import (
	"bytes"
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
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// listed runs the list command and returns the names under each title.
func listed(t *testing.T, args ...string) map[string][]string {
	t.Helper()
	env, err := lint.StandIns(service.GlobalEnvironment())
	require.NoError(t, err)
	var out bytes.Buffer
	app := &ucli.App{Name: cli.BinaryName, Writer: &out, Commands: []*ucli.Command{listComponentsCommand(env, nil)}}
	require.NoError(t, app.Run(append([]string{cli.BinaryName, "list"}, args...)))
	names := map[string][]string{}
	title := ""
	for line := range strings.Lines(out.String()) {
		line = strings.TrimRight(line, "\n")
		if name, ok := strings.CutPrefix(line, "  - "); ok {
			names[title] = append(names[title], strings.TrimSuffix(name, " (deprecated)"))
		} else if line != "" {
			title = strings.TrimSuffix(line, ":")
		}
	}
	return names
}

// list prints every component that the documents and the examples mention.
func TestListNamesEveryComponentOfTheExamples(t *testing.T) {
	var pipelines []string
	texts := documents(t)
	for _, text := range texts {
		pipelines = append(pipelines, fenced(text, "yaml")...)
	}
	files, err := filepath.Glob("../../config/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if !strings.HasSuffix(file, "_benthos_test.yaml") {
			pipelines = append(pipelines, string(text))
		}
	}
	require.GreaterOrEqual(t, len(pipelines), 12)

	names := listed(t)
	walker := mainSchema(service.GlobalEnvironment()).NewStreamConfigWalker()
	used := map[string]bool{}
	for _, text := range pipelines {
		require.NoError(t, walker.WalkComponentsYAML([]byte(text), func(c *service.WalkedComponent) error {
			title := strings.ToUpper(c.ComponentType[:1]) + c.ComponentType[1:] + "s"
			used[title+" "+c.Name] = true
			assert.Contains(t, names[title], c.Name, "list names no %s %s", c.ComponentType, c.Name)
			return nil
		}))
	}
	for _, name := range []string{"Inputs robustmq_kafka_source", "Inputs robustmq_kafka", "Outputs robustmq_mqtt", "Outputs robustmq_kafka"} {
		assert.True(t, used[name], "the examples use %s", name)
	}
	examples := regexp.MustCompile("for example\n\\s*((?:`\\w+`,?\\s*)+)").FindAllStringSubmatch(texts["resources/docs/fields.md"], -1)
	require.Len(t, examples, 1)
	for _, name := range examples {
		for _, word := range strings.FieldsFunc(name[1], func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz_", r) }) {
			assert.True(t, slices.ContainsFunc([]string{"Inputs", "Outputs", "Processors", "Caches"}, func(kind string) bool {
				return slices.Contains(names[kind], word)
			}), "fields.md says that list prints %s", word)
		}
	}
}

func TestListMarksDeprecatedComponentsAndHidesInternalOnes(t *testing.T) {
	names := listed(t)
	assert.NotContains(t, names["Inputs"], noInputName)
	for _, title := range []string{"Inputs", "Processors", "Outputs", "Caches", "Rate limits", "Buffers", "Metrics", "Tracers", "Scanners", "Bloblang functions", "Bloblang methods"} {
		assert.NotEmpty(t, names[title], title)
		assert.True(t, slices.IsSorted(names[title]), title)
	}
	assert.Equal(t, map[string][]string{"Inputs": {"kafka", "kafka_franz"}}, listed(t, "--status", "deprecated", "inputs", "outputs"))
	assert.Equal(t, []string{"Buffers", "Outputs"}, sortedKeys(listed(t, "outputs", "buffers")))
}

func sortedKeys(m map[string][]string) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestTheHelpOfCreateNamesIncludedComponents(t *testing.T) {
	env, err := lint.StandIns(service.GlobalEnvironment())
	require.NoError(t, err)
	lines := regexp.MustCompile(`(?m)^  robustmq-connect create (?:--small )?(\S+)$`).FindAllStringSubmatch(createPipelineCommand(env).Description, -1)
	require.Len(t, lines, 3)
	for _, line := range lines {
		_, err := createPipeline(env, line[1], false)
		assert.NoError(t, err, line[0])
	}
}
