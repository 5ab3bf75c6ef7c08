package main

import (
	"io"
	"os"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

const rootHelp = `{{.Name}} moves MQTT messages into Kafka, whatever broker they come from.
The way back, from Kafka to MQTT, is the input robustmq_kafka_source, or a connector of type kafka_source.

Usage:
  {{.Name}} -c pipeline.yaml          run a pipeline file
  {{.Name}} lint pipeline.yaml        check it, values included
  {{.Name}} serve --store DIR         run connectors as a service
  {{.Name}} demo                      watch it work, with nothing installed
  {{.Name}} COMMAND --help            the flags and examples of a command

Commands:{{range .VisibleCommands}}
  {{printf "%-10s" .Name}} {{.Usage}}{{end}}

Flags:
  -c, --config FILE      the pipeline file
  -s, --set PATH=VALUE   set one field of the pipeline file
  -r, --resources FILE   add resources from other files, glob patterns included
  -e, --env-file FILE    take environment variables from a dotenv file
  -t, --templates FILE   import templates
      --log.level LEVEL  off, error, warn, info, debug or trace
  -w, --watcher          apply changes of the files while running
      --chilled          run although lint finds something
  -v, --version          print the versions of what is inside
  -h, --help             print this
`

// setHelp sets our own root help, and makes a wrong flag print one line: upstream would
// print the whole help after it.
func setHelp(call invocation) {
	ucli.AppHelpTemplate = rootHelp
	printHelp := ucli.HelpPrinter
	ucli.HelpPrinter = func(w io.Writer, template string, data any) {
		switch {
		case call.bare:
			printHelp(os.Stderr, template, data)
		case call.help || call.command != "" && !strings.HasPrefix(call.command, "-") && isGroup(data):
			printHelp(w, template, data)
		}
	}
}

// isGroup reports whether help is about a command with subcommands, which prints help
// when it is called without one.
func isGroup(data any) bool {
	cmd, ok := data.(*ucli.Command)
	return ok && slices.ContainsFunc(cmd.Subcommands, func(c *ucli.Command) bool { return c.Name != "help" })
}
