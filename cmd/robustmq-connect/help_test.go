package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/control"
)

// commandPaths returns every command below the given ones, as words.
func commandPaths(commands []*ucli.Command, above ...string) (paths [][]string) {
	for _, command := range commands {
		path := append(slices.Clone(above), command.Name)
		paths = append(paths, path)
		paths = append(paths, commandPaths(command.Subcommands, path...)...)
	}
	return paths
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	commands := func() []*ucli.Command {
		return []*ucli.Command{control.Command(documentLinter(service.GlobalEnvironment())), control.ConnectorsCommand(), completionCommand(), healthCommand(), tokenCommand()}
	}
	paths := commandPaths(commands())
	require.GreaterOrEqual(t, len(paths), 22)
	for _, path := range paths {
		var out bytes.Buffer
		app := &ucli.App{
			Name: cli.BinaryName, Writer: &out, ErrWriter: &out,
			Commands: commands(),
		}
		require.NoError(t, app.Run(append(append([]string{cli.BinaryName}, path...), "--help")))
		words := strings.Join(path, " ")
		assert.Contains(t, out.String(), "DESCRIPTION:", words)
		assert.Contains(t, out.String(), "  "+cli.BinaryName+" "+path[0], words)
		for line := range strings.Lines(out.String()) {
			assert.NotContains(t, line, "{{", words)
		}
	}
}
