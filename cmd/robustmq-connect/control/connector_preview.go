package control

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// maxSamplePayload is what the server takes of a request, base64 and names included.
const maxSamplePayload = 40 << 10

func previewCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "preview",
		Usage: "Print the record that a connector would write of a message",
		Description: `Takes the flags of create, and a message. What the flags do not say is that of the
connector on the server. Nothing is created, and neither the MQTT broker nor Kafka is asked:

  robustmq-connect mqtt connector preview -f connector.json --topic sensors/1/data --payload '{"temperature": 25.5}'
  robustmq-connect mqtt connector preview --connector-name c1 --topic sensors/1/data --payload-file message.bin
  robustmq-connect mqtt connector preview --connector-name c1 --topic sensors/1/data --payload 1 \
    --config '{"bootstrap_servers": "kafka1:9092", "topic": "sensors", "key": "${! @mqtt_topic.split(\"/\").index(1) }"}'

The exit code is 1 where no record can be made.`,
		Flags: append(append(definitionFlags("take the complete connector JSON from this `FILE`, - is standard input"),
			&ucli.StringFlag{Name: "topic", Usage: "the message's MQTT `TOPIC`"},
			&ucli.StringFlag{Name: "payload", Usage: "its payload, a `TEXT`"},
			&ucli.StringFlag{Name: "payload-file", Usage: "the content of this `FILE` as its payload, - is standard input"},
			&ucli.StringFlag{Name: "qos", Aliases: []string{"q"}, Value: "1", Usage: "its quality of service `0, 1 or 2`"},
			&ucli.BoolFlag{Name: "retained", Usage: "set its retain flag"},
			&ucli.StringFlag{Name: "client-id", Usage: "the publisher's client `ID`, which is sent as a user property"},
			&ucli.StringFlag{Name: "username", Usage: "the publisher's `USER` name, which is sent as a user property"},
			&ucli.StringSliceFlag{Name: "user-property", Usage: "a user property `KEY=VALUE`, several with commas between them"},
			&ucli.StringFlag{Name: "partitions", Usage: "foresee the partition in a Kafka topic with this `NUMBER` of them"},
			wideFlag(),
		), adminFlags()...),
		Action: func(c *ucli.Context) error {
			d, err := previewedDefinition(c)
			if err != nil {
				return fmt.Errorf("previewing a record: %w", err)
			}
			if err := preview(c, d); err != nil {
				if errors.Is(err, cli.ErrReported) {
					return err
				}
				return fmt.Errorf("previewing a record of connector %q: %w", d.name(), err)
			}
			return nil
		},
	}
}

// previewedDefinition is that of the flags, with what they do not say from the server.
func previewedDefinition(c *ucli.Context) (definition, error) {
	if c.String("file") == "-" && c.String("payload-file") == "-" {
		return nil, errors.New("--file and --payload-file cannot both be standard input")
	}
	if c.String("file") != "" || c.IsSet("config") && c.IsSet("topic-name") {
		return completeDefinition(c)
	}
	d, err := readDefinition(c)
	if err != nil {
		return nil, err
	}
	name, err := connectorName(c)
	if err != nil {
		return nil, err
	}
	existing, _, err := fetchDetail(c, name)
	if err != nil {
		return nil, err
	}
	for _, field := range []string{"connector_type", "config", "topic_name", "failure_strategy"} {
		if !d.given(field) {
			d[field] = existing[field]
		}
	}
	if err := d.require(); err != nil {
		return nil, err
	}
	d.normalize()
	return d, nil
}

func preview(c *ucli.Context, d definition) error {
	inJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	message, err := sampleMessage(c)
	if err != nil {
		return err
	}
	if d["message"], err = cli.Marshal(message); err != nil {
		return err
	}
	if c.IsSet("partitions") {
		n, err := positive(c, "partitions", 0)
		if err != nil {
			return err
		}
		d["partitions"] = json.RawMessage(strconv.Itoa(n))
	}
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	var text json.RawMessage
	notes, err := client.post(c.Context, admin.PathPreview, d, &text)
	if err != nil {
		return err
	}
	var p admin.Preview
	if err := client.decode(text, &p); err != nil {
		return err
	}
	printNotes(c, notes)
	switch {
	case inJSON:
		err = cli.PrintJSON(c.App.Writer, text)
	case p.Error == nil:
		printPreview(c, p)
	default:
		fmt.Fprintf(c.App.ErrWriter, "%s: %s\n", cli.OneLine(p.Field), cli.OneLine(*p.Error))
	}
	if p.Error != nil && err == nil {
		err = cli.ErrReported
	}
	return err
}

func sampleMessage(c *ucli.Context) (admin.SampleMessage, error) {
	m := admin.SampleMessage{
		Topic: c.String("topic"), Payload: c.String("payload"), Retain: c.Bool("retained"),
		ClientID: c.String("client-id"), Username: c.String("username"),
	}
	if m.Topic == "" {
		return m, errors.New("name the message's topic with --topic")
	}
	qos, err := strconv.Atoi(c.String("qos"))
	if err != nil {
		return m, fmt.Errorf("reading --qos %q: want 0, 1 or 2", c.String("qos"))
	}
	m.QoS = &qos
	if path := c.String("payload-file"); path != "" {
		if c.IsSet("payload") {
			return m, errors.New("--payload and --payload-file exclude each other: give one")
		}
		data, err := cli.ReadBounded(c.App.Reader, path, maxSamplePayload)
		if err == nil && len(data) > maxSamplePayload {
			err = errors.New("over 40 KiB long: preview a shorter message")
		}
		if err != nil {
			return m, fmt.Errorf("reading %s: %w", fileName(path), err)
		}
		m.PayloadBase64 = base64.StdEncoding.EncodeToString(data)
	}
	for _, text := range c.StringSlice("user-property") {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return m, fmt.Errorf("reading --user-property %q: want KEY=VALUE", text)
		}
		m.UserProperties = append(m.UserProperties, admin.UserProperty{Key: key, Value: value})
	}
	return m, nil
}

func printPreview(c *ucli.Context, p admin.Preview) {
	partition := "-"
	if p.Partition != nil {
		partition = strconv.Itoa(int(*p.Partition))
	}
	rows := [][]string{{"topic", p.Topic}, {"partition", partition}, {"key", shownBytes(p.Key)}}
	for _, h := range p.Headers {
		rows = append(rows, []string{"header " + h.Key, shownBytes(h.Value)})
	}
	fmt.Fprintln(c.App.Writer, "connector preview result:")
	printTable(c, []column{{"what", 0}, {"value", 0}}, rows)
	fmt.Fprintln(c.App.Writer, shownBytes(p.Value))
}

// shownBytes are text, or bytes that are none in base64.
func shownBytes(e *admin.Excerpt) string {
	switch {
	case e == nil:
		return "-"
	case e.Base64 != nil:
		return "base64 " + cli.OneLine(*e.Base64)
	case e.Text != nil:
		return cli.OneLine(*e.Text)
	}
	return ""
}
