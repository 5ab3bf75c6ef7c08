package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func importCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "import",
		Usage: "Create the connectors of a running RobustMQ here",
		Description: `Reads all connectors of RobustMQ's admin API and creates them at --server. A name that
exists is skipped. RobustMQ fills in its own defaults; a value that equals one is not
taken over, and the command names each. A connector that is stopped there (status Stop) is
paused here:

  robustmq-connect mqtt connector import --from http://robustmq:58080
  robustmq-connect mqtt connector import --from robustmq:58080 --failure-strategy discard

RobustMQ does not report a connector's failure strategy: it is the one given here, block by
default. The exit code is 1 if any could not be created. Pause or delete them in RobustMQ
afterwards, or each message arrives twice.`,
		Flags: append([]ucli.Flag{
			&ucli.StringFlag{Name: "from", Usage: "read from the admin API at this `URL` or host:port"},
			&ucli.StringFlag{Name: "from-token-file", Usage: "take the token for --from from this `FILE`"},
			&ucli.StringFlag{Name: "failure-strategy", Usage: "give each this `STRATEGY`: block, discard, discard_after_retry, dead_message_queue, or its JSON"},
			&ucli.StringFlag{Name: "retry-total-times", Usage: "try `NUMBER` times before discarding or dead-lettering"},
			&ucli.StringFlag{Name: "wait-time-ms", Usage: "wait this many `MILLISECONDS` between tries"},
			&ucli.StringFlag{Name: "dead-letter-topic", Usage: "the Kafka `TOPIC` of dead_message_queue"},
		}, adminFlags()...),
		Action: func(c *ucli.Context) error {
			err := importConnectors(c)
			if err != nil && !errors.Is(err, cli.ErrReported) {
				return fmt.Errorf("importing connectors: %w", err)
			}
			return err
		},
	}
}

// imported is what became of one connector.
type imported struct {
	Name   string   `json:"connector_name"`
	Result string   `json:"result"` // created, skipped, failed
	Reason string   `json:"reason,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

func importConnectors(c *ucli.Context) error {
	inJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	strategy, err := readStrategy(c)
	if err != nil {
		return err
	}
	from, err := sourceClient(c)
	if err != nil {
		return err
	}
	here, err := newAdminClient(c)
	if err != nil {
		return err
	}
	if from.base == here.base {
		return fmt.Errorf("--from and --server are the same, %s: name the server that is to get them by --server", here.base)
	}
	theirs, err := from.allConnectors(c.Context)
	if err != nil {
		return fmt.Errorf("reading from %s: %w", from.base, err)
	}
	ours, err := here.allConnectors(c.Context)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, row := range ours {
		taken[row.ConnectorName] = true
	}
	results := []imported{}
	for _, row := range theirs {
		result := imported{Name: row.ConnectorName, Result: "created"}
		if taken[row.ConnectorName] {
			result.Result, result.Reason = "skipped", "a connector of this name exists here"
		} else if result.Notes, err = importOne(c, here, row, strategy); err != nil {
			result.Result, result.Reason = "failed", err.Error()
		}
		// Another tenant of RobustMQ may have the name, too.
		taken[row.ConnectorName] = taken[row.ConnectorName] || result.Result == "created"
		results = append(results, result)
		if !inJSON {
			printImported(c, result)
		}
	}
	return finishImport(c, results, inJSON)
}

func sourceClient(c *ucli.Context) (*adminClient, error) {
	if c.String("from") == "" {
		return nil, errors.New("name the server to read from by --from, http://robustmq:58080 for example")
	}
	base, err := parseServer(c.String("from"))
	if err != nil {
		return nil, err
	}
	token := ""
	if path := c.String("from-token-file"); path != "" {
		if token, err = cli.ReadSecretFile(path); err != nil {
			return nil, fmt.Errorf("reading --from-token-file %s: %w", path, err)
		}
	}
	return dialAdmin(c, base, token)
}

func importOne(c *ucli.Context, here *adminClient, row admin.Row, strategy json.RawMessage) ([]string, error) {
	if strings.Contains(row.Config, `"***"`) {
		return nil, errors.New("its config holds ***, a secret that the server does not show: create it with the secret by create --file")
	}
	d := definition{}
	d.setText("connector_name", row.ConnectorName)
	d.setText("connector_type", row.ConnectorType)
	d.setText("config", row.Config)
	d.setText("topic_name", row.TopicName)
	d.setText("tenant", row.Tenant)
	if strategy == nil && row.FailureStrategy != nil {
		text, err := cli.Marshal(row.FailureStrategy)
		if err != nil {
			return nil, err
		}
		strategy = text
	}
	if strategy != nil {
		d["failure_strategy"] = strategy
	}
	d.normalize()
	// One that does not run there does not run here: whoever has paused it has a reason.
	paused := row.Status == connector.WordStop
	if paused {
		d["paused"] = json.RawMessage("true")
	}
	notes, err := here.post(c.Context, admin.PathCreate, d, nil)
	if err == nil && paused {
		notes = append(notes, "it is stopped there, and so it is paused here: resume starts it")
	}
	return notes, err
}

func printImported(c *ucli.Context, result imported) {
	name := cli.OneLine(result.Name)
	if result.Result == "failed" {
		fmt.Fprintf(c.App.ErrWriter, "%s: failed: %s\n", name, cli.OneLine(result.Reason))
		return
	}
	for _, text := range result.Notes {
		fmt.Fprintf(c.App.ErrWriter, "%s: note: %s\n", name, cli.OneLine(text))
	}
	line := name + ": " + result.Result
	if result.Reason != "" {
		line += ": " + result.Reason
	}
	fmt.Fprintln(c.App.Writer, line)
}

func finishImport(c *ucli.Context, results []imported, inJSON bool) error {
	count := map[string]int{}
	for _, result := range results {
		count[result.Result]++
	}
	if inJSON {
		if err := cli.PrintJSON(c.App.Writer, results); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.App.Writer, "%d created, %d skipped, %d failed\n", count["created"], count["skipped"], count["failed"])
	}
	if count["failed"] > 0 {
		return cli.ErrReported
	}
	return nil
}
