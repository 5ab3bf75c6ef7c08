package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// pageSize is the page size of list.
const pageSize = 100

func listCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "list",
		Usage: "List the connectors, all or the one of a name",
		Description: `The status is RobustMQ's word: Idle is not started, Running was started, Stop is paused.
The reason why one waits or has failed is below the table. --output json has its state
(Running, Waiting, Failed or Paused). On a terminal the table has the columns that fit into
100 characters; with --wide, and where a program reads it, it has all, as RobustMQ's:

  robustmq-connect mqtt connector list
  robustmq-connect mqtt connector list --connector-name "iot_sensor_kafka"
  robustmq-connect mqtt connector list --selector site=north,stage!=test
  robustmq-connect mqtt connector list --output json --limit 20 --page 2`,
		Flags: append([]ucli.Flag{
			nameFlag("list the connector of this `NAME` only"),
			selectorFlag("list connectors with these labels only"),
			&ucli.StringFlag{Name: "tenant", Aliases: []string{"T"}, Usage: "list those of this `TENANT` only; one exists, default"},
			wideFlag(),
		}, groupFlags()...),
		Action: func(c *ucli.Context) error {
			if err := listConnectors(c); err != nil {
				return fmt.Errorf("listing the connectors: %w", err)
			}
			return nil
		},
	}
}

func listConnectors(c *ucli.Context) error {
	inJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	page, err := positive(c, "page", 1)
	if err != nil {
		return err
	}
	limit, err := positive(c, "limit", pageSize)
	if err != nil {
		return err
	}
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	query := url.Values{"page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(limit)}}
	for flag, field := range map[string]string{"connector-name": "connector_name", "tenant": "tenant", "selector": "selector"} {
		if value := c.String(flag); value != "" {
			query.Set(field, value)
		}
	}
	var text json.RawMessage
	if _, err := client.get(c.Context, admin.PathList, query, &text); err != nil {
		return err
	}
	if inJSON {
		return cli.PrintJSON(c.App.Writer, text)
	}
	var list admin.List
	if err := client.decode(text, &list); err != nil {
		return err
	}
	printList(c, list, (page-1)*limit)
	return nil
}

func printList(c *ucli.Context, list admin.List, before int) {
	rows := make([][]string, 0, len(list.Data))
	for _, row := range list.Data {
		rows = append(rows, []string{
			row.ConnectorName, row.ConnectorType, row.Config, row.TopicName, row.Status, row.BrokerID, row.CreateTime, row.UpdateTime,
		})
	}
	fmt.Fprintln(c.App.Writer, "connector list result:")
	// Scripts made for RobustMQ read this table, and find all of its columns.
	wide := c.Bool("wide") || !cli.IsTerminal(c.App.Writer)
	printTableAs(c, wide, []column{
		{"connector name", 0},
		{"connector type", 4},
		{"connector config", 6},
		{"topic id", 0},
		{"status", 0},
		{"broker id", 5},
		{"create time", 2},
		{"update time", 3},
	}, rows)
	for _, row := range list.Data {
		if row.Reason != "" {
			fmt.Fprintf(c.App.Writer, "%s: %s\n", cli.OneLine(row.ConnectorName), cli.OneLine(row.Reason))
		}
	}
	if shown := before + len(list.Data); shown < list.TotalCount || before > 0 {
		printNote(c, "%d of %d connectors are shown; --page and --limit show others", len(list.Data), list.TotalCount)
	}
}

// allConnectors reads every page.
func (a *adminClient) allConnectors(ctx context.Context) ([]admin.Row, error) {
	var all []admin.Row
	for page := 1; ; page++ {
		var list admin.List
		query := url.Values{
			"page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(pageSize)},
			// The order must not change between two pages.
			"sort_field": {"connector_name"}, "sort_by": {"asc"},
		}
		if _, err := a.get(ctx, admin.PathList, query, &list); err != nil {
			return nil, err
		}
		all = append(all, list.Data...)
		if len(list.Data) == 0 || len(all) >= list.TotalCount {
			return all, nil
		}
	}
}

// positive reads a whole number from 1, which may follow any command of the line.
func positive(c *ucli.Context, flag string, otherwise int) (int, error) {
	text, given := inherited(c, flag)
	if !given {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("reading --%s %q: want a whole number from 1", flag, text)
	}
	return n, nil
}
