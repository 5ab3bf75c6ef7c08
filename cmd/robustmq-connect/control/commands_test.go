package control

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/mqtt"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

func TestMain(m *testing.M) {
	if err := plugins.Register(service.GlobalEnvironment()); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// lintDocument judges a pipeline as main does.
func lintDocument(document []byte) ([]lint.Finding, error) {
	env, err := lint.StandIns(service.GlobalEnvironment())
	if err != nil {
		return nil, err
	}
	return lint.New(env, env.FullConfigSchema("", ""), lint.Options{SkipEnvCheck: true}).YAML(string(document), false), nil
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// runMQTT runs the mqtt command as the command line does.
func runMQTT(stdin string, args ...string) (stdout, stderr string, err error) {
	return runCommand(Command(lintDocument), stdin, args...)
}

// runConnectors does so with the connectors command.
func runConnectors(stdin string, args ...string) (stdout, stderr string, err error) {
	return runCommand(ConnectorsCommand(), stdin, args...)
}

func runCommand(command *ucli.Command, stdin string, args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	app := &ucli.App{
		Name: cli.BinaryName, Reader: strings.NewReader(stdin), Writer: &out, ErrWriter: &errOut,
		Commands:       []*ucli.Command{command},
		ExitErrHandler: func(*ucli.Context, error) {},
	}
	err = app.Run(append([]string{cli.BinaryName, command.Name}, args...))
	return out.String(), errOut.String(), err
}

func TestAGroupNeedsASubcommand(t *testing.T) {
	for want, args := range map[string][]string{
		"robustmq-connect mqtt needs a subcommand: connector, publish; see robustmq-connect mqtt --help": nil,
		`"topic" is not a subcommand of robustmq-connect mqtt; the subcommands are connector, publish`:   {"topic"},
		"robustmq-connect mqtt connector needs a subcommand: create, list, detail, update, history, rollback, pause, resume, " +
			"restart, delete, logs, tail, log-level, check, preview, export, import, dead-letters; see robustmq-connect mqtt connector --help": {"connector"},
		`"remove" is not a subcommand of robustmq-connect mqtt connector; the subcommands are create`: {"connector", "remove"},
		"reading the flags of mqtt connector: flag provided but not defined: -nope":                   {"connector", "--nope"},
		"reading the flags of mqtt: flag provided but not defined: -nope":                             {"--nope"},
	} {
		stdout, _, err := runMQTT("", args...)
		require.ErrorContains(t, err, want)
		assert.Empty(t, stdout)
	}
}
