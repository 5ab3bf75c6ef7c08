package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func historyCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "history",
		Usage: "Print the definitions that a connector has and had",
		Description: `The last 20, the latest first, with what each changed. --output json has them whole, with ***
in the place of each secret:

  robustmq-connect mqtt connector history --connector-name c1
  robustmq-connect mqtt connector history --connector-name c1 --output json`,
		Flags:  append([]ucli.Flag{nameFlag("the connector's `NAME`"), tenantFlag(), wideFlag()}, adminFlags()...),
		Action: onConnector("reading a connector's history", "reading the history of connector", printHistory),
	}
}

func rollbackCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "rollback",
		Usage: "Update a connector to a definition that it had",
		Description: `The definition becomes the connector's next revision. A secret is that of today, where it is
sent to the same servers with the same login; otherwise the command fails and names the
field:

  robustmq-connect mqtt connector history --connector-name c1
  robustmq-connect mqtt connector rollback --connector-name c1 --revision 3
  robustmq-connect mqtt connector rollback --connector-name c1 --revision 3 --if-match 7

With --if-match it is changed only while it is at that revision.`,
		Flags: append([]ucli.Flag{
			nameFlag("the connector's `NAME`"), tenantFlag(),
			&ucli.StringFlag{Name: "revision", Usage: "the `REVISION` to restore, one that history shows"},
			ifMatchFlag(),
			&ucli.BoolFlag{Name: "discard-waiting", Usage: "discard what waits in a session that the change gives up"},
		}, adminFlags()...),
		Action: func(c *ucli.Context) error {
			name, err := connectorName(c)
			if err != nil {
				return fmt.Errorf("rolling back a connector: %w", err)
			}
			to, err := strconv.Atoi(c.String("revision"))
			if err != nil || to < 1 {
				return fmt.Errorf("rolling back connector %q: reading --revision %q: want a revision that history shows, 3 for example", name, c.String("revision"))
			}
			ifMatch, err := givenIfMatch(c)
			if err != nil {
				return fmt.Errorf("rolling back connector %q: %w", name, err)
			}
			body := admin.Rollback{Tenant: c.String("tenant"), ConnectorName: name, Revision: to, DiscardWaiting: c.Bool("discard-waiting")}
			return change(c, "rolling back", admin.PathRollback, name, ifMatch, body, "Rolled back successfully!")
		},
	}
}

func printHistory(c *ucli.Context, name string) error {
	client, inJSON, err := connect(c)
	if err != nil {
		return err
	}
	var text json.RawMessage
	if _, err := client.get(c.Context, admin.PathHistory, nameQuery(c, name), &text); err != nil {
		return err
	}
	if inJSON {
		return cli.PrintJSON(c.App.Writer, text)
	}
	var all []admin.Revision
	if err := client.decode(text, &all); err != nil {
		return err
	}
	rows := make([][]string, 0, len(all))
	for i, r := range all {
		number := strconv.Itoa(r.Revision)
		if r.Current {
			number += " (current)"
		}
		at := "-"
		if t, err := time.Parse(time.RFC3339, r.Time); err == nil {
			at = t.Local().Format(time.DateTime)
		}
		changed := "-" // the oldest that is kept
		switch {
		case r.Unreadable != "":
			changed = "cannot be read: " + r.Unreadable
		case i+1 < len(all) && all[i+1].Definition != nil:
			changed = orDash(strings.Join(changedFields(all[i+1].Definition, r.Definition), ", "))
		}
		rows = append(rows, []string{number, at, orDash(r.Actor), changed})
	}
	printTable(c, []column{{"revision", 0}, {"time", 0}, {"made by", 0}, {"changed", 0}}, rows)
	return nil
}

// changedFields are the fields in which two definitions differ. A secret that was
// replaced cannot be told.
func changedFields(before, after *admin.Definition) []string {
	was, is := definitionFields(before), definitionFields(after)
	var names []string
	for name, value := range is {
		if was[name] != value {
			names = append(names, name)
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// definitionFields are the fields of a definition by their names, each as JSON.
func definitionFields(d *admin.Definition) map[string]string {
	fields := map[string]string{"topic_name": d.TopicName, "failure_strategy": string(d.FailureStrategy)}
	for label, value := range d.Labels {
		fields["labels."+label] = value
	}
	var text string
	var config map[string]json.RawMessage
	if json.Unmarshal(d.Config, &text) == nil && json.Unmarshal([]byte(text), &config) == nil {
		for name, value := range config {
			fields["config."+name] = string(value)
		}
	}
	return fields
}

func ifMatchFlag() ucli.Flag {
	return &ucli.StringFlag{Name: "if-match", Usage: "only while the connector is at this `REVISION`"}
}

// givenIfMatch is --if-match as the header has it, "" where it is not given.
func givenIfMatch(c *ucli.Context) (string, error) {
	if !c.IsSet("if-match") {
		return "", nil
	}
	text := c.String("if-match")
	if text == "*" {
		return text, nil
	}
	n, err := strconv.Atoi(strings.Trim(text, `"`))
	if err != nil || n < 1 {
		return "", fmt.Errorf("reading --if-match %q: want a revision, 7 for example, or * for any", text)
	}
	return strconv.Quote(strconv.Itoa(n)), nil
}

// revisionOf is the revision of an ETag, 0 where it has none.
func revisionOf(etag string) int {
	n, err := strconv.Atoi(strings.Trim(strings.TrimPrefix(etag, "W/"), `"`))
	if err != nil {
		return 0
	}
	return n
}
