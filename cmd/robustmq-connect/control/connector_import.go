package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/envelope"
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
  robustmq-connect mqtt connector import --from robustmq:58080 --username admin --password-file password

A running RobustMQ writes its storage record and not the envelope that it documents, so its
connectors get --format robustmq_record; consumers of the other formats change. RobustMQ
writes dead letters to an MQTT topic; here they go to a Kafka topic.

RobustMQ does not report a connector's failure strategy: it is the one given here, block by
default. From another machine, RobustMQ wants a login: give --username and --password-file,
or --from-token-file. The exit code is 1 if any could not be created. Pause or delete them in RobustMQ
afterwards, or each message arrives twice.`,
		Flags: append(append(sourceFlags(),
			&ucli.StringFlag{Name: "format", Usage: "write records in this `FORMAT`: robustmq_record, which a running RobustMQ writes, robustmq_json or raw"},
			&ucli.StringFlag{Name: "failure-strategy", Usage: "give each this `STRATEGY`: block, discard, discard_after_retry, dead_message_queue, or its JSON"},
			&ucli.StringFlag{Name: "retry-total-times", Usage: "try `NUMBER` times before discarding or dead-lettering"},
			&ucli.StringFlag{Name: "wait-time-ms", Usage: "wait this many `MILLISECONDS` between tries"},
			&ucli.StringFlag{Name: "dead-letter-topic", Usage: "the Kafka `TOPIC` of dead_message_queue"},
		), adminFlags()...),
		Action: func(c *ucli.Context) error {
			err := importConnectors(c)
			if err != nil && !errors.Is(err, cli.ErrReported) {
				return fmt.Errorf("importing connectors: %w", err)
			}
			return err
		},
	}
}

// importing says how connectors are taken over.
type importing struct {
	strategy     json.RawMessage // nil for the connector's own
	format       string          // "" for the connector's own
	fromRobustMQ bool
}

// chooseFormat fills in the format and refuses one that does not exist.
func (i *importing) chooseFormat() error {
	if i.format == "" && i.fromRobustMQ {
		i.format = envelope.FormatRecord
	}
	if i.format != "" && !slices.Contains(envelope.Formats, i.format) {
		return fmt.Errorf("--format: %q is unknown: want one of %s", i.format, strings.Join(envelope.Formats, ", "))
	}
	return nil
}

// notes say what changes for those who read the records.
func (i *importing) notes() (notes []string) {
	if !i.fromRobustMQ {
		return nil
	}
	switch i.format {
	case envelope.FormatRecord:
		notes = append(notes, "records are RobustMQ's storage record, as there; offset, segment and shard, which only RobustMQ knows, are 0, 0 and empty")
	case envelope.FormatJSON:
		notes = append(notes, "records are the envelope that RobustMQ documents; a running RobustMQ writes its storage record: adapt the consumers, or import with --format robustmq_record")
	case envelope.FormatRaw:
		notes = append(notes, "records are the payloads alone, with the MQTT fields as Kafka headers; a running RobustMQ writes its storage record: adapt the consumers")
	}
	if bytes.Contains(i.strategy, []byte("dead_message_queue")) {
		notes = append(notes, "dead letters go to the Kafka topic of the strategy; RobustMQ writes them to an MQTT topic of that name")
	}
	return notes
}

// config is the connector's config with the format in it.
func (i *importing) config(text string) (string, []string, error) {
	if !i.fromRobustMQ && i.format == "" {
		return text, nil, nil
	}
	var outer map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &outer); err != nil {
		return "", nil, fmt.Errorf("config: not one JSON object: %w", err)
	}
	inner := outer
	var wrapped map[string]json.RawMessage
	kafka, isWrapped := outer["Kafka"]
	if isWrapped = isWrapped && len(outer) == 1 && json.Unmarshal(kafka, &wrapped) == nil; isWrapped {
		inner = wrapped
	}
	var notes []string
	if string(inner["retries"]) == "0" {
		inner["retries"] = json.RawMessage("1")
		notes = append(notes, "retries 0 becomes 1: a record that Kafka has not taken is sent once more before it fails")
	}
	if i.format != "" {
		inner["format"], _ = json.Marshal(i.format) // a string
	}
	if isWrapped {
		var err error
		if outer["Kafka"], err = cli.Marshal(inner); err != nil {
			return "", nil, err
		}
	}
	changed, err := cli.Marshal(outer)
	return string(changed), notes, err
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
		return fmt.Errorf("--from and --server are the same, %s: name the destination with --server", here.base)
	}
	theirs, err := from.allConnectors(c.Context)
	if err != nil {
		return fmt.Errorf("reading from %s: %w", from.base, err)
	}
	how := importing{strategy: strategy, format: c.String("format"), fromRobustMQ: !from.knownOurs}
	if err := how.chooseFormat(); err != nil {
		return err
	}
	for _, text := range how.notes() {
		printNote(c, "%s", text)
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
		} else if result.Notes, err = importOne(c, here, row, how); err != nil {
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

func importOne(c *ucli.Context, here *adminClient, row admin.Row, how importing) ([]string, error) {
	if strings.Contains(row.Config, `"***"`) {
		return nil, errors.New("its config holds ***, a secret that the server does not show: create it with the secret by create --file")
	}
	d := definition{}
	d.setText("connector_name", row.ConnectorName)
	d.setText("connector_type", row.ConnectorType)
	config, notes, err := how.config(row.Config)
	if err != nil {
		return nil, err
	}
	d.setText("config", config)
	d.setText("topic_name", row.TopicName)
	d.setText("tenant", row.Tenant)
	strategy := how.strategy
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
	told, err := here.post(c.Context, admin.PathCreate, d, nil)
	notes = append(notes, told...)
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
