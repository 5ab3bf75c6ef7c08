package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/templates"
)

// maxConnectorFile bounds what is read before it is known to be a connector,
// which has 4096 characters of config and a few names.
const maxConnectorFile = 1 << 20

// mqttCommand is the part of RobustMQ's command line that this distribution has.
func mqttCommand(env *service.Environment) *ucli.Command {
	return &ucli.Command{
		Name:  "mqtt",
		Usage: "Work with RobustMQ's MQTT connectors",
		Subcommands: []*ucli.Command{{
			Name:  "connector",
			Usage: "Work with RobustMQ's connector descriptions",
			Subcommands: []*ucli.Command{{
				Name:  "export",
				Usage: "Print the pipeline that a RobustMQ connector stands for",
				Description: `Reads RobustMQ's complete connector JSON and prints a pipeline that lints and runs:

  robustmq-connect mqtt connector export -f connector.json > pipeline.yaml

What the pipeline does not take over is told on standard error.`,
				Flags: []ucli.Flag{
					&ucli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "the connector JSON, or - for standard input"},
				},
				Action: func(c *ucli.Context) error { return exportConnector(c, env) },
				OnUsageError: func(_ *ucli.Context, err error, _ bool) error {
					return fmt.Errorf("exporting a connector: %w", err)
				},
			}},
			Action: needsSubcommand,
		}},
		Action: needsSubcommand,
	}
}

// needsSubcommand replaces the library's answer to a wrong or a missing
// subcommand, which is help and success.
func needsSubcommand(c *ucli.Context) error {
	path := "mqtt connector export"
	if c.Args().Present() {
		return fmt.Errorf("%q is no subcommand of %s; there is %s", c.Args().First(), c.Command.Name, path)
	}
	return fmt.Errorf("%s needs a subcommand; there is %s", c.Command.Name, path)
}

func exportConnector(c *ucli.Context, env *service.Environment) error {
	path := c.String("file")
	if path == "" || c.Args().Present() {
		return errors.New("exporting a connector: name its file with -f connector.json, or -f - for standard input")
	}
	document, notes, err := exportFile(c.App.Reader, path, env)
	if path == "-" {
		path = "standard input"
	}
	if err != nil {
		return fmt.Errorf("exporting %s: %w", path, err)
	}
	for _, note := range notes {
		fmt.Fprintf(c.App.ErrWriter, "%s: note: %s\n", path, note)
	}
	_, err = c.App.Writer.Write(document)
	return err
}

func exportFile(stdin io.Reader, path string, env *service.Environment) ([]byte, []string, error) {
	data, err := readConnector(stdin, path)
	if err != nil {
		return nil, nil, err
	}
	conn, err := connector.Parse(data)
	if err != nil {
		return nil, nil, err
	}
	document, notes := connector.Pipeline(conn)

	// The addresses and topic names are judged by lint, with its words, so that
	// what is printed always lints.
	lintEnv, err := templates.LintEnvironment(env, false)
	if err != nil {
		return nil, nil, err
	}
	var wrong []string
	for _, f := range newLinter(lintEnv, lintOptions{}).yaml(string(document), false) {
		wrong = append(wrong, f.what)
	}
	if len(wrong) > 0 {
		return nil, nil, errors.New(strings.Join(wrong, "; "))
	}
	return document, notes, nil
}

func readConnector(stdin io.Reader, path string) ([]byte, error) {
	in := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			var at *os.PathError
			if errors.As(err, &at) {
				err = at.Err
			}
			return nil, err
		}
		defer func() { _ = file.Close() }() // read only: nothing can be lost
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxConnectorFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConnectorFile {
		return nil, errors.New("over 1 MiB long: this is no connector")
	}
	return data, nil
}
