package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/control"
)

// completions returns what may follow words, as a shell requests it.
func completions(t *testing.T, words ...string) []string {
	t.Helper()
	line := append([]string{cli.BinaryName}, append(words, completionFlag)...)
	args := os.Args
	os.Args = line // the library reads it
	defer func() { os.Args = args }()
	given, completing := completionWords(line[1:])
	require.True(t, completing)
	var out bytes.Buffer
	app := &ucli.App{
		Name: cli.BinaryName, Writer: &out, ErrWriter: &out,
		Commands: []*ucli.Command{control.Command(documentLinter(service.GlobalEnvironment())), control.ConnectorsCommand(), completionCommand(), completeCommand(given)},
	}
	require.NoError(t, app.Run([]string{cli.BinaryName, completeCommandName}))
	return strings.Fields(out.String())
}

func TestCompletionSuggestsCommandsFlagsAndWords(t *testing.T) {
	assert.Subset(t, completions(t, ""), []string{"mqtt", "completion"})
	assert.NotContains(t, completions(t, ""), completeCommandName)
	assert.Subset(t, completions(t, "mqtt", ""), []string{"connector", "publish"})
	assert.Subset(t, completions(t, "mqtt", "--server", "x", "connector", ""), []string{"create", "list", "import"})
	assert.ElementsMatch(t, completions(t, "mqtt", "connector", "create", "--co"), []string{"--connector-name", "--connector-type", "--config"})
	assert.Subset(t, completions(t, "mqtt", "publish", "--"), []string{"--topic", "--qos", "--message"})
	assert.Equal(t, []string{"table", "json"}, completions(t, "mqtt", "connector", "list", "--output", ""))
	assert.Contains(t, completions(t, "mqtt", "connector", "create", "--failure-strategy", ""), "dead_message_queue")
	assert.Empty(t, completions(t, "mqtt", "connector", "create", "--file", ""), "a file follows")
	assert.Empty(t, completions(t, "mqtt", "connector", "list", "--connector-name", "a", ""))
}

// A line that a user is still writing must not be executed.
func TestALineToCompleteIsNeverRun(t *testing.T) {
	for _, words := range [][]string{
		{"mqtt", "publish", "--server", "127.0.0.1:1", "-t", "a", "-m", "x", ""},
		{"mqtt", "publish", "--server", "127.0.0.1:1", "-t", "a", "-m", "x", "--", ""},
		{"mqtt", "connector", "delete", "--server", "127.0.0.1:1", "-c", "a", ""},
		{"mqtt", "connector", "--nope", "create", ""},
		nil,
	} {
		assert.Empty(t, completions(t, words...), "%v", words)
	}
}

func TestOtherLinesAreNotCompleted(t *testing.T) {
	for _, args := range [][]string{nil, {"mqtt"}, {completionFlag, "mqtt"}} {
		_, completing := completionWords(args)
		assert.False(t, completing)
	}
}

// The shells themselves run the completion scripts; shells that are not installed are
// skipped.
func TestTheShellsRunTheirCompletion(t *testing.T) {
	for shell, text := range map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip(err)
			}
			var out bytes.Buffer
			app := &ucli.App{Name: cli.BinaryName, Writer: &out, Commands: []*ucli.Command{completionCommand()}}
			require.NoError(t, app.Run([]string{cli.BinaryName, "completion", shell}))
			assert.Equal(t, text, out.String())
			path := writeFile(t, t.TempDir(), "script", text)
			complaint, err := exec.CommandContext(t.Context(), shell, "-n", path).CombinedOutput()
			require.NoError(t, err, "%s", complaint)
			assert.Empty(t, complaint)
		})
	}
}
