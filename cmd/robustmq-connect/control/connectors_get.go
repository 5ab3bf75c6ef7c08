package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"

	ucli "github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// definitionFieldNames are what makes a definition of what detail shows, in the order
// in which files have it.
var definitionFieldNames = []string{"connector_name", "connector_type", "tenant", "topic_name", "labels", "config", "failure_strategy"}

func getCommand() *ucli.Command {
	return cli.Words(&ucli.Command{
		Name:  "get",
		Usage: "Print the definitions of connectors as apply takes them",
		Description: `All connectors of the server, or those named. Each secret is ***, which apply takes for the
secret that is stored:

  robustmq-connect connectors get > connectors.yaml
  robustmq-connect connectors get iot_sensor_kafka -o json`,
		Flags: append(serverFlags(),
			&ucli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "yaml", Usage: "print YAML documents or a JSON list: `FORMAT` is yaml or json"}),
		Action: func(c *ucli.Context) error {
			if err := getConnectors(c); err != nil {
				return fmt.Errorf("reading the connectors: %w", err)
			}
			return nil
		},
	}, "[NAME…]")
}

func getConnectors(c *ucli.Context) error {
	format := c.String("output")
	if format != "yaml" && format != "json" {
		return fmt.Errorf("reading --output %q: want yaml or json", format)
	}
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	names := c.Args().Slice()
	if len(names) == 0 {
		if names, err = client.names(c); err != nil {
			return err
		}
	}
	all := make([]definition, 0, len(names))
	for _, name := range names {
		d, _, err := client.detail(c.Context, tenantQuery(name))
		if err != nil {
			return fmt.Errorf("connector %q: %w", name, err)
		}
		all = append(all, d)
	}
	if format == "json" {
		return printDefinitionsJSON(c, all)
	}
	return printDefinitionsYAML(c, all)
}

func (a *adminClient) names(c *ucli.Context) ([]string, error) {
	rows, err := a.allConnectors(c.Context)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(rows))
	for _, row := range rows {
		names = append(names, row.ConnectorName)
	}
	return names, nil
}

func tenantQuery(name string) url.Values {
	return url.Values{"tenant": {connector.DefaultTenant}, "connector_name": {name}}
}

// fileForm gives a field of a definition as a file has it: the config as an object, and
// text that looks like a reference as no reference.
func fileForm(d definition, field string) (json.RawMessage, error) {
	value := d[field]
	var text string
	if field == "config" && json.Unmarshal(value, &text) == nil && json.Valid([]byte(text)) {
		value = json.RawMessage(text)
	}
	if field == "connector_name" {
		return value, nil
	}
	return escape(value)
}

func printDefinitionsJSON(c *ucli.Context, all []definition) error {
	list := make([]json.RawMessage, 0, len(all))
	for _, d := range all {
		var b bytes.Buffer
		for _, field := range definitionFieldNames {
			if !d.given(field) {
				continue
			}
			value, err := fileForm(d, field)
			if err != nil {
				return err
			}
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%q:%s", field, value)
		}
		list = append(list, json.RawMessage("{"+b.String()+"}"))
	}
	return cli.PrintJSON(c.App.Writer, list)
}

func printDefinitionsYAML(c *ucli.Context, all []definition) error {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	for _, d := range all {
		document := &yaml.Node{Kind: yaml.MappingNode}
		for _, field := range definitionFieldNames {
			if !d.given(field) {
				continue
			}
			value, err := fileForm(d, field)
			if err != nil {
				return err
			}
			node, err := connector.YAML(value)
			if err != nil {
				return err
			}
			document.Content = append(document.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: field}, node)
		}
		if err := e.Encode(document); err != nil {
			return err
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	_, err := c.App.Writer.Write(b.Bytes())
	return err
}
