package control

import (
	"errors"
	"fmt"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// Linter checks a pipeline file.
type Linter func(document []byte) ([]lint.Finding, error)

func exportCommand(judge Linter) *ucli.Command {
	return &ucli.Command{
		Name:  "export",
		Usage: "Print the pipeline of a connector",
		Description: `Reads a complete connector JSON, or asks the server for a connector, and prints a pipeline
that lints and runs:

  robustmq-connect mqtt connector export -f connector.json > pipeline.yaml
  robustmq-connect mqtt connector export --connector-name c1 > pipeline.yaml

Standard error names what the pipeline does not take over, and the variables of its
passwords.`,
		Flags: append([]ucli.Flag{
			&ucli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "take the complete connector JSON from this `FILE`, - is standard input"},
			nameFlag("ask the server for the connector of this `NAME`"),
			tenantFlag(),
		}, adminFlags()...),
		Action: func(c *ucli.Context) error { return exportConnector(c, judge) },
	}
}

func exportConnector(c *ucli.Context, judge Linter) error {
	var data []byte
	var err error
	path, name := c.String("file"), c.String("connector-name")
	from := fileName(path)
	switch {
	case path == "" && name == "" || path != "" && name != "":
		return errors.New("exporting a connector: name its file by --file connector.json, - for standard input, or itself by --connector-name")
	case path != "":
		data, err = readConnector(c.App.Reader, path)
	default:
		from = fmt.Sprintf("connector %q", name)
		data, err = fetchDescription(c, name)
	}
	if err != nil {
		return fmt.Errorf("exporting %s: %w", from, err)
	}
	document, notes, variables, err := exportPipeline(data, judge)
	if err != nil {
		return fmt.Errorf("exporting %s: %w", from, err)
	}
	for _, text := range notes {
		fmt.Fprintf(c.App.ErrWriter, "%s: note: %s\n", from, text)
	}
	if path == "" {
		fmt.Fprintf(c.App.ErrWriter, "%s: note: the MQTT settings of the server are not in it; "+
			"where its broker is not %s, add urls and what else the input needs\n", from, defaultBroker)
	}
	for _, v := range variables {
		fmt.Fprintf(c.App.ErrWriter, "%s: set the variable %s to the secret of %s\n", from, v.Name, v.Field)
	}
	_, err = c.App.Writer.Write(document)
	return err
}

// fetchDescription requests the connector as its user gave it.
func fetchDescription(c *ucli.Context, name string) ([]byte, error) {
	detail, _, err := fetchDetail(c, name)
	if err != nil {
		return nil, err
	}
	d := definition{}
	for _, field := range []string{"connector_name", "connector_type", "config", "topic_name", "tenant", "failure_strategy"} {
		d[field] = detail[field]
	}
	return cli.Marshal(d)
}

func exportPipeline(data []byte, judge Linter) ([]byte, []string, []connector.Variable, error) {
	conn, err := connector.Parse(data)
	if err != nil {
		return nil, nil, nil, err
	}
	document, notes, variables := connector.Export(conn)

	// lint checks the addresses and topic names, so that the printed pipeline always
	// lints.
	findings, err := judge(document)
	if err != nil {
		return nil, nil, nil, err
	}
	var wrong []string
	for _, f := range findings {
		wrong = append(wrong, f.String())
	}
	if len(wrong) > 0 {
		return nil, nil, nil, errors.New(strings.Join(wrong, "; "))
	}
	return document, notes, variables, nil
}
