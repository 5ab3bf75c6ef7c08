// Package control is the mqtt command: it manages the connectors of a server by its
// admin API, and publishes messages to a broker.
package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Command is the part of RobustMQ's command line that this distribution has, with the
// same words and flags. Flags that RobustMQ expects after mqtt are accepted there and
// after the command itself.
func Command(judge Linter) *ucli.Command {
	mqtt := &ucli.Command{
		Name:  "mqtt",
		Usage: "Manage connectors as RobustMQ's command line does, and publish",
		Description: `The words and flags are those of RobustMQ's robust-ctl:

  robustmq-connect mqtt connector list
  robustmq-connect mqtt --server connect1:58080 --output json connector list
  robustmq-connect mqtt publish --topic sensors/1/data --message '{"temperature": 25.5}'

A link to this program that is named robust-ctl takes the same lines.`,
		ArgsUsage:    "COMMAND",
		Flags:        groupFlags(),
		Action:       cli.NeedsSubcommand,
		OnUsageError: cli.UsageError("mqtt"),
	}
	group := &ucli.Command{
		Name:  "connector",
		Usage: "Create, list and manage the connectors of a server",
		Description: `The server is one that "robustmq-connect serve" started, or a RobustMQ, at --server
or at ` + serverVariable + `:

  robustmq-connect mqtt connector create --connector-name c1 --connector-type kafka \
    --config '{"bootstrap_servers": "kafka1:9092", "topic": "sensors"}' --topic-id "sensors/+/data"
  robustmq-connect mqtt connector list
  robustmq-connect mqtt connector detail --connector-name c1`,
		ArgsUsage:    "COMMAND",
		Flags:        groupFlags(),
		Action:       cli.NeedsSubcommand,
		OnUsageError: cli.UsageError("mqtt connector"),
	}
	for _, command := range []*ucli.Command{
		createCommand(), listCommand(), detailCommand(), updateCommand(), historyCommand(), rollbackCommand(), pauseCommand(), resumeCommand(), restartCommand(),
		deleteCommand(), logsCommand(), tailCommand(), logLevelCommand(), checkCommand(), previewCommand(), exportCommand(judge), importCommand(),
	} {
		group.Subcommands = append(group.Subcommands, cli.Action(command))
	}
	group.Subcommands = append(group.Subcommands, deadLettersCommand())
	mqtt.Subcommands = []*ucli.Command{group, cli.Action(publishCommand())}
	return mqtt
}

// inherited returns a flag of the nearest command of the line for which it was given.
// The library would return the default of the last command instead.
func inherited(c *ucli.Context, name string) (value string, given bool) {
	for _, at := range c.Lineage() {
		if at.Command != nil && slices.Contains(at.LocalFlagNames(), name) {
			return at.String(name), true
		}
	}
	return "", false
}

func adminFlags() []ucli.Flag {
	return append(serverFlags(), &ucli.StringFlag{Name: "output", Usage: "print a table, or json: `FORMAT` is table or json"})
}

// serverFlags select the server, and how to reach it.
func serverFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "server", Aliases: []string{"s"}, Usage: "the admin API at `HOST:PORT`, a URL or unix:PATH; otherwise " + serverVariable + ", otherwise " + defaultServer},
		&ucli.StringFlag{Name: "api-token-file", Usage: "take the server's bearer token from this `FILE`; otherwise from " + tokenVariable},
		&ucli.StringFlag{Name: "ca-file", Usage: "trust the authorities in this PEM `FILE`, and not those of the system"},
	}
}

// groupFlags are those that RobustMQ expects after mqtt.
func groupFlags() []ucli.Flag {
	return append(adminFlags(),
		&ucli.StringFlag{Name: "page", Usage: "list this `PAGE`, counted from 1"},
		&ucli.StringFlag{Name: "limit", Usage: "list up to this `NUMBER` a page, " + strconv.Itoa(pageSize) + " by default"},
	)
}

func tenantFlag() ucli.Flag {
	return &ucli.StringFlag{Name: "tenant", Aliases: []string{"T"}, Value: connector.DefaultTenant, Usage: "the `TENANT`; one exists, default"}
}

// nameFlag is -c, as in RobustMQ's list and delete; create has -n.
func nameFlag(usage string) ucli.Flag {
	return &ucli.StringFlag{Name: "connector-name", Aliases: []string{"c", "n"}, Usage: usage}
}

// connectorName returns the required name.
func connectorName(c *ucli.Context) (string, error) {
	name := c.String("connector-name")
	if name == "" {
		return "", errors.New("name it with --connector-name")
	}
	return name, nil
}

// onConnector is a command about the connector that its flags name. What failed is said
// with unnamed where they name none, else with named and the name behind it.
func onConnector(unnamed, named string, run func(c *ucli.Context, name string) error) ucli.ActionFunc {
	return func(c *ucli.Context) error {
		name, err := connectorName(c)
		if err != nil {
			return fmt.Errorf("%s: %w", unnamed, err)
		}
		if err := run(c, name); err != nil {
			return fmt.Errorf("%s %q: %w", named, name, err)
		}
		return nil
	}
}

// connect reads how a command prints its answer, and the server that gives it.
func connect(c *ucli.Context) (client *adminClient, inJSON bool, err error) {
	if inJSON, err = jsonOutput(c); err != nil {
		return nil, false, err
	}
	client, err = newAdminClient(c)
	return client, inJSON, err
}

func printNotes(c *ucli.Context, notes []string) {
	for _, text := range notes {
		printNote(c, "%s", text)
	}
}

// printNote prints the notes of a server's answer.
func printNote(c *ucli.Context, format string, args ...any) {
	fmt.Fprintf(c.App.ErrWriter, "note: %s\n", cli.OneLine(fmt.Sprintf(format, args...)))
}
