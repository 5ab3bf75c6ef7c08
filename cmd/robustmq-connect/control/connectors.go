package control

import (
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// ConnectorsCommand manages all connectors of a server at once, from files.
func ConnectorsCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "connectors",
		Usage: "Keep the connectors of a server as files say",
		Description: `The files hold a definition each or many, as YAML or JSON, and may stand in a repository:

  robustmq-connect connectors get > connectors.yaml
  robustmq-connect connectors apply -f connectors.yaml --dry-run
  robustmq-connect connectors apply -f connectors.yaml`,
		ArgsUsage:    "COMMAND",
		Subcommands:  []*ucli.Command{cli.Action(applyCommand()), getCommand(), cli.Action(backupCommand()), restoreCommand()},
		Action:       cli.NeedsSubcommand,
		OnUsageError: cli.UsageError("connectors"),
	}
}
