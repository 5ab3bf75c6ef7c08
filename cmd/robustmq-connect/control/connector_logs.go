package control

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// followPause is how often logs -f asks for new lines.
const followPause = time.Second

func logsCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "logs",
		Usage: "Print the last lines that a connector logged",
		Description: `The server keeps the last lines of every connector in memory, from its start on. -f prints
new ones as they come, until it is interrupted:

  robustmq-connect mqtt connector logs --connector-name c1
  robustmq-connect mqtt connector logs --connector-name c1 --level error --since 1h --limit 1000
  robustmq-connect mqtt connector logs --connector-name c1 -f

With --output json and -f each line is a JSON object.`,
		Flags: append([]ucli.Flag{
			nameFlag("the connector's `NAME`"), tenantFlag(),
			&ucli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "print new lines as they come"},
			&ucli.StringFlag{Name: "since", Usage: "print lines since this `TIME` (2026-11-25T10:00:00Z) or for this long (10m)"},
			&ucli.StringFlag{Name: "limit", Usage: "print the newest `NUMBER` of lines, 100 by default"},
			&ucli.StringFlag{Name: "level", Usage: "print lines of at least this `LEVEL`: debug, info, warn or error"},
		}, adminFlags()...),
		Action: onConnector("reading a connector's log", "reading the log of connector", printLogs),
	}
}

func logLevelCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "log-level",
		Usage: "Set from which level on a connector logs",
		Description: `The connector logs from this level on, into the server's log too, until the server ends.
Without --level it logs as the server does:

  robustmq-connect mqtt connector log-level --connector-name c1 --level debug
  robustmq-connect mqtt connector log-level --connector-name c1`,
		Flags: append([]ucli.Flag{
			nameFlag("the connector's `NAME`"), tenantFlag(),
			&ucli.StringFlag{Name: "level", Usage: "the `LEVEL`: debug, info, warn or error"},
		}, adminFlags()...),
		Action: func(c *ucli.Context) error {
			name, err := connectorName(c)
			if err != nil {
				return fmt.Errorf("setting a connector's log level: %w", err)
			}
			body := admin.Level{Name: admin.Name{Tenant: c.String("tenant"), ConnectorName: name}, Level: c.String("level")}
			return change(c, "setting the log level of", admin.PathLogLevel, name, "", body, "Log level set successfully!")
		},
	}
}

func printLogs(c *ucli.Context, name string) error {
	client, inJSON, err := connect(c)
	if err != nil {
		return err
	}
	query := nameQuery(c, name)
	for _, flag := range []string{"since", "level"} {
		if value := c.String(flag); value != "" {
			query.Set(flag, value)
		}
	}
	limit, err := positive(c, "limit", 0)
	if err != nil {
		return err
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	if !c.Bool("follow") {
		var text json.RawMessage
		if _, err := client.get(c.Context, admin.PathLogs, query, &text); err != nil {
			return err
		}
		if inJSON {
			return cli.PrintJSON(c.App.Writer, text)
		}
		var logs admin.Logs
		if err := client.decode(text, &logs); err != nil {
			return err
		}
		return printLines(c, logs, inJSON)
	}
	return follow(c, client, query, inJSON)
}

// follow asks again and again for what came after the last line.
func follow(c *ucli.Context, client *adminClient, query url.Values, inJSON bool) error {
	for {
		var logs admin.Logs
		if _, err := client.get(c.Context, admin.PathLogs, query, &logs); err != nil {
			if c.Err() != nil {
				return nil // the user has seen enough
			}
			return err
		}
		if err := printLines(c, logs, inJSON); err != nil {
			return err
		}
		if n := len(logs.Lines); n > 0 {
			query.Set("since", logs.Lines[n-1].Time)
			query.Set("limit", "10000")
		}
		select {
		case <-c.Done():
			return nil
		case <-time.After(followPause):
		}
	}
}

func printLines(c *ucli.Context, logs admin.Logs, inJSON bool) error {
	if logs.Omitted > 0 {
		printNote(c, "%d older lines are not shown; --limit shows more", logs.Omitted)
	}
	for _, line := range logs.Lines {
		if inJSON {
			text, err := cli.Marshal(line)
			if err != nil {
				return fmt.Errorf("printing JSON: %w", err)
			}
			fmt.Fprintf(c.App.Writer, "%s\n", text)
			continue
		}
		fmt.Fprintf(c.App.Writer, "%s %-5s %s\n", cli.OneLine(localMillis(line.Time)), strings.ToUpper(cli.OneLine(line.Level)), cli.OneLine(line.Text))
	}
	return nil
}
