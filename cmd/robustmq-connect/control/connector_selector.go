package control

import (
	"encoding/json"
	"fmt"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func selectorFlag(usage string) ucli.Flag {
	return &ucli.StringFlag{Name: "selector", Aliases: []string{"l"}, Usage: usage + ": `SELECTOR` is site=north,stage!=test for example"}
}

// labelsOf reads site=north,stage=test; "" is no label at all.
func labelsOf(text string) (json.RawMessage, error) {
	labels := map[string]string{}
	for item := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		name, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok {
			return nil, fmt.Errorf("reading --labels %q: want NAME=VALUE, several with commas between them", text)
		}
		if _, twice := labels[name]; twice {
			return nil, fmt.Errorf("reading --labels %q: the label %s is given twice", text, name)
		}
		labels[name] = value
	}
	return cli.Marshal(labels)
}

// changeSelected sends one request that changes every connector with some labels, and
// tells how it went with each.
func changeSelected(c *ucli.Context, doing, path string, body admin.Deletion, success string) error {
	fail := func(err error) error { return fmt.Errorf("%s the connectors %s: %w", doing, body.Selector, err) }
	for _, flag := range []string{"connector-name", "if-match"} {
		if c.IsSet(flag) {
			return fail(fmt.Errorf("--%s and --selector exclude each other: give one", flag))
		}
	}
	client, inJSON, err := connect(c)
	if err != nil {
		return fail(err)
	}
	var text json.RawMessage
	notes, err := client.post(c.Context, path, body, &text)
	if err != nil {
		return fail(err)
	}
	var all []admin.Selected
	if err := client.decode(text, &all); err != nil {
		return fail(err)
	}
	printNotes(c, notes)
	failed := 0
	rows := make([][]string, len(all))
	for i, one := range all {
		rows[i] = []string{one.ConnectorName, success}
		if one.Error != nil {
			failed++
			rows[i][1] = *one.Error
		}
		for _, warning := range one.Notes {
			printNote(c, "%s: %s", one.ConnectorName, warning)
		}
	}
	if inJSON {
		err = cli.PrintJSON(c.App.Writer, text)
	} else if len(rows) > 0 {
		printTable(c, []column{{"connector name", 0}, {"result", 0}}, rows)
	}
	if err == nil && failed > 0 {
		err = fail(fmt.Errorf("%d of %d failed", failed, len(all)))
	}
	return err
}
