package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// maxConnectorFile limits what is read before it is known to be a connector, which has
// 4096 characters of config and a few names.
const maxConnectorFile = 1 << 20

// definition is the body of create, update and check: a connector's complete JSON.
// Fields that the command does not know are sent to the server, which has the errors
// for them.
type definition map[string]json.RawMessage

// name is only for messages: the server refuses a wrong one.
func (d definition) name() string {
	var name string
	_ = json.Unmarshal(d["connector_name"], &name)
	return name
}

func (d definition) setText(field, value string) {
	text, _ := cli.Marshal(value) // a string always encodes
	d[field] = text
}

func (d definition) isSource() bool {
	var kind string
	_ = json.Unmarshal(d["connector_type"], &kind) // the server refuses a wrong one
	return strings.EqualFold(kind, connector.TypeKafkaSource)
}

// given reports a field that is present and not null.
func (d definition) given(field string) bool {
	return len(d[field]) > 0 && string(d[field]) != "null"
}

// normalize converts the documented form to that of RobustMQ's admin API, which both
// servers understand.
func (d definition) normalize() {
	var kind string
	if json.Unmarshal(d["connector_type"], &kind) == nil && d.given("connector_type") {
		d.setText("connector_type", strings.ToLower(kind))
	}
	if !d.given("topic_name") && d.given("topic_id") {
		d["topic_name"] = d["topic_id"]
		delete(d, "topic_id")
	}
	if config := d["config"]; len(config) > 0 && config[0] == '{' {
		d.setText("config", string(config))
	}
	if !d.given("tenant") {
		d.setText("tenant", connector.DefaultTenant)
	}
	if !d.given("failure_strategy") {
		// RobustMQ's own command line sends discard here, which silently drops
		// messages.
		d["failure_strategy"] = json.RawMessage(`{"strategy":"block"}`)
	}
}

func definitionFlags(file string) []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "connector-name", Aliases: []string{"n"}, Usage: "the connector's `NAME`, 1 to 128 characters"},
		&ucli.StringFlag{Name: "connector-type", Aliases: []string{"t"}, Value: "kafka", Usage: "the `TYPE`: kafka moves messages from MQTT to Kafka, kafka_source moves records from Kafka to MQTT"},
		&ucli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "the Kafka settings as `JSON`, bootstrap_servers and topic at least"},
		&ucli.StringFlag{Name: "topic-name", Aliases: []string{"topic-id", "p"}, Usage: "the MQTT topic `FILTER` to read from, wildcards included; of a kafka_source the topic to publish to"},
		tenantFlag(),
		&ucli.StringFlag{Name: "labels", Usage: "the connector's `LABELS`, site=north,stage=test for example; an update without them keeps those that it has"},
		&ucli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: file},
		&ucli.StringFlag{
			Name:  "failure-strategy",
			Usage: "what happens to a record that Kafka refuses: `STRATEGY` is block, discard, discard_after_retry, dead_message_queue, or its JSON",
		},
		&ucli.StringFlag{Name: "retry-total-times", Usage: "try `NUMBER` times before discarding or dead-lettering"},
		&ucli.StringFlag{Name: "wait-time-ms", Usage: "wait this many `MILLISECONDS` between tries"},
		&ucli.StringFlag{Name: "dead-letter-topic", Usage: "the Kafka `TOPIC` of dead_message_queue"},
	}
}

// completeDefinition reads a definition with all required fields.
func completeDefinition(c *ucli.Context) (definition, error) {
	d, err := readDefinition(c)
	if err == nil {
		err = d.require()
	}
	if err != nil {
		return d, err
	}
	d.normalize()
	return d, nil
}

// readDefinition reads the definition from the flags, a file or single fields. Fields
// that they do not set are missing.
func readDefinition(c *ucli.Context) (definition, error) {
	d := definition{}
	if path := c.String("file"); path != "" {
		for _, flag := range []string{"connector-type", "config", "topic-name"} {
			if c.IsSet(flag) {
				return nil, fmt.Errorf("--%s and --file exclude each other: the file holds the complete connector", flag)
			}
		}
		data, err := readConnector(c.App.Reader, path)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", fileName(path), err)
		}
		if d, err = parseDefinition(data); err != nil {
			return nil, fmt.Errorf("reading %s: %w", fileName(path), err)
		}
	}
	for flag, field := range map[string]string{
		"connector-name": "connector_name", "connector-type": "connector_type", "config": "config",
		"topic-name": "topic_name", "tenant": "tenant",
	} {
		if c.IsSet(flag) {
			d.setText(field, c.String(flag))
		}
	}
	if c.IsSet("labels") {
		labels, err := labelsOf(c.String("labels"))
		if err != nil {
			return nil, err
		}
		d["labels"] = labels
	}
	strategy, err := readStrategy(c)
	if err != nil {
		return nil, err
	}
	if strategy != nil {
		d["failure_strategy"] = strategy
	}
	return d, nil
}

// require reports the flag of the first missing field.
func (d definition) require() error {
	for _, field := range []struct{ name, flag, want string }{
		{"connector_name", "connector-name", "it distinguishes the connector from others"},
		{"config", "config", `the Kafka settings, {"bootstrap_servers": "kafka1:9092", "topic": "sensors"} for example`},
		{"topic_name", "topic-id", "the MQTT topic filter to read from, sensors/+/data for example"},
	} {
		if field.name == "topic_name" && d.isSource() {
			continue // it has a default
		}
		if !d.given(field.name) && (field.name != "topic_name" || !d.given("topic_id")) {
			return fmt.Errorf("--%s is missing: %s; or give the complete connector by --file connector.json", field.flag, field.want)
		}
	}
	if !d.given("connector_type") {
		d.setText("connector_type", "kafka")
	}
	return nil
}

func parseDefinition(data []byte) (definition, error) {
	var d definition
	if err := json.Unmarshal(data, &d); err != nil {
		if _, parsed := connector.Parse(data); parsed != nil {
			return nil, parsed // it tells which byte, and what would be right
		}
		return nil, err
	}
	if d == nil {
		return nil, errors.New("null is not a connector: it must be a JSON object")
	}
	return d, nil
}

// readStrategy returns nil if the flags do not set it.
func readStrategy(c *ucli.Context) (json.RawMessage, error) {
	word := c.String("failure-strategy")
	details := map[string]string{
		"retry-total-times": "retry_total_times", "wait-time-ms": "wait_time_ms", "dead-letter-topic": "topic_name",
	}
	strategy := map[string]json.RawMessage{}
	if strings.HasPrefix(strings.TrimSpace(word), "{") {
		if err := json.Unmarshal([]byte(word), &strategy); err != nil {
			return nil, fmt.Errorf("reading --failure-strategy: %w", err)
		}
	} else if word != "" {
		definition(strategy).setText("strategy", word)
	}
	for flag, field := range details {
		if !c.IsSet(flag) {
			continue
		}
		if word == "" {
			return nil, fmt.Errorf("--%s needs --failure-strategy beside it", flag)
		}
		if flag == "dead-letter-topic" {
			definition(strategy).setText(field, c.String(flag))
			continue
		}
		number := json.RawMessage(c.String(flag))
		var whole int64
		if err := json.Unmarshal(number, &whole); err != nil {
			return nil, fmt.Errorf("reading --%s %q: want a whole number", flag, c.String(flag))
		}
		strategy[field] = number
	}
	if word == "" && !c.IsSet("failure-strategy") {
		return nil, nil
	}
	return cli.Marshal(strategy)
}

func fileName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

func readConnector(stdin io.Reader, path string) ([]byte, error) {
	data, err := cli.ReadBounded(stdin, path, maxConnectorFile)
	if err == nil && len(data) > maxConnectorFile {
		err = errors.New("over 1 MiB long: it is not a connector")
	}
	return data, err
}
