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
)

// runMQTT runs the mqtt command as the command line does.
func runMQTT(stdin string, args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	app := &ucli.App{
		Name: binaryName, Reader: strings.NewReader(stdin), Writer: &out, ErrWriter: &errOut,
		Commands:       []*ucli.Command{mqttCommand(service.GlobalEnvironment())},
		ExitErrHandler: func(*ucli.Context, error) {},
	}
	err = app.Run(append([]string{binaryName, "mqtt"}, args...))
	return out.String(), errOut.String(), err
}

func TestAGroupNeedsASubcommand(t *testing.T) {
	for want, args := range map[string][]string{
		"robustmq-connect mqtt needs a subcommand: connector, publish; see robustmq-connect mqtt --help": nil,
		`"topic" is no subcommand of robustmq-connect mqtt; there is connector, publish`:                 {"topic"},
		"robustmq-connect mqtt connector needs a subcommand: create, list, detail, update, pause, resume, " +
			"delete, check, export, import; see robustmq-connect mqtt connector --help": {"connector"},
		`"remove" is no subcommand of robustmq-connect mqtt connector; there is create`: {"connector", "remove"},
		"reading the flags of mqtt connector: flag provided but not defined: -nope":     {"connector", "--nope"},
		"reading the flags of mqtt: flag provided but not defined: -nope":               {"--nope"},
	} {
		stdout, _, err := runMQTT("", args...)
		require.ErrorContains(t, err, want)
		assert.Empty(t, stdout)
	}
}

// commandPaths gives every command below the given ones, as words.
func commandPaths(commands []*ucli.Command, above ...string) (paths [][]string) {
	for _, command := range commands {
		path := append(slices.Clone(above), command.Name)
		paths = append(paths, path)
		paths = append(paths, commandPaths(command.Subcommands, path...)...)
	}
	return paths
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	paths := commandPaths([]*ucli.Command{mqttCommand(service.GlobalEnvironment()), completionCommand()})
	require.Len(t, paths, 17)
	for _, path := range paths {
		var out bytes.Buffer
		app := &ucli.App{
			Name: binaryName, Writer: &out, ErrWriter: &out,
			Commands: []*ucli.Command{mqttCommand(service.GlobalEnvironment()), completionCommand()},
		}
		require.NoError(t, app.Run(append(append([]string{binaryName}, path...), "--help")))
		words := strings.Join(path, " ")
		assert.Contains(t, out.String(), "DESCRIPTION:", words)
		assert.Contains(t, out.String(), "  "+binaryName+" "+path[0], words)
		for line := range strings.Lines(out.String()) {
			assert.NotContains(t, line, "{{", words)
		}
	}
}
