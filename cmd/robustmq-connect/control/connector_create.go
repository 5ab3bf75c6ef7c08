package control

import (
	"encoding/json"
	"fmt"
	"net/http"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func createCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "create",
		Usage: "Create a connector, which runs until it is deleted",
		Description: `The server keeps it over a restart. It waits while Kafka or the MQTT broker is away;
"check" with the same flags tries both:

  robustmq-connect mqtt connector create --connector-name "iot_sensor_kafka" --connector-type "Kafka" \
    --config '{"bootstrap_servers": "kafka1:9092,kafka2:9092", "topic": "iot_sensors", "key": "sensor_key"}' \
    --topic-id "iot/sensors/+/data"
  robustmq-connect mqtt connector create -f connector.json
  robustmq-connect mqtt connector create -f connector.json --failure-strategy dead_message_queue \
    --dead-letter-topic dead_letters --retry-total-times 3

Without --failure-strategy it is block: a record that Kafka refuses is held and
retried, and nothing overtakes it. Every user of this machine can read a password in
--config while the command runs: give it in a file, or by -f - on standard input.`,
		Flags: append(append(definitionFlags("take the complete connector JSON from this `FILE`, - is standard input"),
			&ucli.BoolFlag{Name: "paused", Usage: "create it paused: it runs once it is resumed"}), adminFlags()...),
		Action: func(c *ucli.Context) error {
			d, err := completeDefinition(c)
			if err != nil {
				return fmt.Errorf("creating a connector: %w", err)
			}
			if c.Bool("paused") {
				d["paused"] = json.RawMessage("true")
			}
			if err := refuseBlock(c, d); err != nil {
				return fmt.Errorf("creating connector %q: %w", d.name(), err)
			}
			return change(c, "creating", admin.PathCreate, d.name(), "", d, "Created successfully!")
		},
	}
}

// change sends one request that changes a connector, and prints the result. With
// ifMatch, it changes only that revision of the connector.
func change(c *ucli.Context, doing, path, name, ifMatch string, body any, success string) error {
	fail := func(err error) error { return fmt.Errorf("%s connector %q: %w", doing, name, err) }
	client, inJSON, err := connect(c)
	if err != nil {
		return fail(err)
	}
	answer, err := client.call(c.Context, call{method: http.MethodPost, path: path, ifMatch: ifMatch, body: body})
	if err != nil {
		return fail(err)
	}
	if inJSON {
		return cli.PrintJSON(c.App.Writer, changeResult{Name: name, Result: admin.Success, Revision: revisionOf(answer.etag), Notes: answer.notes})
	}
	printNotes(c, answer.notes)
	fmt.Fprintln(c.App.Writer, success)
	return nil
}

// changeResult is the JSON output of a change.
type changeResult struct {
	Name     string   `json:"connector_name"`
	Result   string   `json:"result"`
	Revision int      `json:"revision,omitempty"` // that of the connector now
	Notes    []string `json:"notes,omitempty"`
}
