package control

import (
	"encoding/json"
	"fmt"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func checkCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "check",
		Usage: "Try both ends of a connector, creating nothing",
		Description: `Takes the flags of create. The server connects to the MQTT broker and to Kafka, and says
what is wrong; the exit code is 1 then:

  robustmq-connect mqtt connector check --connector-name c1 \
    --config '{"bootstrap_servers": "kafka1:9092", "topic": "sensors"}' --topic-id "sensors/+/data"
  robustmq-connect mqtt connector check -f connector.json`,
		Flags: append(definitionFlags("take the complete connector JSON from this `FILE`, - is standard input"), adminFlags()...),
		Action: func(c *ucli.Context) error {
			d, err := completeDefinition(c)
			if err != nil {
				return fmt.Errorf("checking a connector: %w", err)
			}
			return checkDefinition(c, d)
		},
	}
}

func checkDefinition(c *ucli.Context, d definition) error {
	fail := func(err error) error { return fmt.Errorf("checking connector %q: %w", d.name(), err) }
	client, inJSON, err := connect(c)
	if err != nil {
		return fail(err)
	}
	var text json.RawMessage
	notes, err := client.post(c.Context, admin.PathCheck, d, &text)
	if err != nil {
		return fail(err)
	}
	var probes []admin.Probe
	if err := json.Unmarshal(text, &probes); err != nil || len(probes) == 0 {
		return fail(fmt.Errorf("the server at %s did not report the result", client.base))
	}
	if inJSON {
		err = cli.PrintJSON(c.App.Writer, text)
	} else {
		printProbes(c, probes, notes)
	}
	for _, probe := range probes {
		if probe.Error != nil && err == nil {
			err = cli.ErrReported
		}
	}
	return err
}

func printProbes(c *ucli.Context, probes []admin.Probe, notes []string) {
	printNotes(c, notes)
	for _, probe := range probes {
		if probe.Error == nil {
			fmt.Fprintf(c.App.Writer, "%s: OK\n", cli.OneLine(probe.End))
		} else {
			fmt.Fprintf(c.App.ErrWriter, "%s: %s\n", cli.OneLine(probe.End), cli.OneLine(*probe.Error))
		}
	}
}
