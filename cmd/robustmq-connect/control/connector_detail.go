package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func detailCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "detail",
		Usage: "Print the figures and the state of a connector",
		Description: `The figures count from the start of the server:

  robustmq-connect mqtt connector detail --connector-name c1
  robustmq-connect mqtt connector detail --connector-name c1 --output json`,
		Flags:  append([]ucli.Flag{nameFlag("the connector's `NAME`"), tenantFlag(), wideFlag()}, adminFlags()...),
		Action: onConnector("reading a connector's detail", "reading the detail of connector", printDetail),
	}
}

func printDetail(c *ucli.Context, name string) error {
	client, inJSON, err := connect(c)
	if err != nil {
		return err
	}
	var text json.RawMessage
	answer, err := client.call(c.Context, call{method: http.MethodGet, path: admin.PathDetail, query: nameQuery(c, name), into: &text})
	if err != nil {
		return err
	}
	printNotes(c, answer.notes)
	if inJSON {
		return cli.PrintJSON(c.App.Writer, text)
	}
	rows, err := detailRows(text)
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", client.base, err)
	}
	if revision := revisionOf(answer.etag); revision > 0 {
		rows = append(rows, []string{"revision", strconv.Itoa(revision)})
	}
	fmt.Fprintln(c.App.Writer, "connector detail result:")
	printTable(c, []column{{"what", 0}, {"value", 0}}, rows)
	return nil
}

// detailRows returns the members of an object in order: RobustMQ has four of them, and
// a later version may have more.
func detailRows(object []byte) ([][]string, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var rows [][]string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		label, _ := name.(string)
		rows = append(rows, []string{strings.ReplaceAll(label, "_", " "), detailValue(label, value)})
	}
	return rows, nil
}

// detailValue formats a time like RobustMQ's list, and a missing value as "".
func detailValue(name string, value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil { // null leaves it empty
		return orDash(text)
	}
	var seconds int64
	if strings.HasSuffix(name, "_time") && json.Unmarshal(value, &seconds) == nil {
		if seconds == 0 {
			return "-"
		}
		return time.Unix(seconds, 0).Format(time.DateTime)
	}
	if string(value) == "[]" {
		return "-"
	}
	return string(value)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
