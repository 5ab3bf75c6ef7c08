package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// version and commit are set by the Makefile through the linker.
var (
	version = "dev"
	commit  = ""
)

func buildVersion() string { return version }

// buildDate is the time of the commit that the binary was built from.
func buildDate() string { return buildSetting("vcs.time") }

func buildSetting(key string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == key {
				return s.Value
			}
		}
	}
	return "unknown"
}

const (
	benthosModule = "github.com/redpanda-data/benthos/v4"
	connectModule = "github.com/redpanda-data/connect/v4"
)

func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}

func printVersion(w io.Writer) {
	id := commit
	if id == "" {
		id = buildSetting("vcs.revision")
	}
	fmt.Fprintf(w, "%s %s\n", binaryName, buildVersion())
	fmt.Fprintf(w, "commit:  %s\n", id)
	fmt.Fprintf(w, "go:      %s\n", runtime.Version())
	fmt.Fprintf(w, "benthos: %s\n", moduleVersion(benthosModule))
	fmt.Fprintf(w, "connect: %s\n", moduleVersion(connectModule))
}

// invocation is what main must know of the command line before upstream reads
// it, since upstream's texts for these cases are fixed.
type invocation struct {
	// args is the command line for upstream.
	args []string
	// command is the first word that is no flag, or "".
	command string
	// config is the pipeline file that a run was given, or "".
	config string
	// sets tells that --set changes fields of it.
	sets    bool
	version bool
	help    bool
	// bare is a call that would start a pipeline without a configuration.
	bare bool
}

// runs tells whether the command runs a pipeline.
func (i invocation) runs() bool {
	return !i.help && !i.bare && (i.command == "" || i.command == "run")
}

// prints tells whether the command prints a configuration.
func (i invocation) prints() bool {
	return slices.Contains([]string{"echo", "create", "list"}, i.command)
}

// flagsWithValue are the flags that may stand before a command, or after run,
// and take the next word.
var flagsWithValue = []string{"config", "c", "log.level", "set", "s", "resources", "r", "env-file", "e", "templates", "t"}

func parseInvocation(args []string) invocation {
	call := invocation{args: args}
	words, complete := 0, false
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag || name == "" {
			if words++; words == 1 {
				call.command = args[i]
			} else if call.command == "run" {
				call.config = args[i]
			}
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		if !hasValue && i+1 < len(args) {
			value = args[i+1]
		}
		switch name {
		case "version", "v":
			call.version = call.version || call.command == ""
		case "help", "h":
			call.help = true
		case "set", "s":
			call.sets = true
		case "config", "c":
			complete = true
			call.config = value
			if call.command == "run" && !hasValue && i+1 < len(args) {
				// Upstream's run takes the file as a word only.
				call.args = slices.Concat(args[:i], args[i+1:])
			}
		case "chilled", "watcher", "w":
		default:
			// A flag that upstream knows, or refuses.
			complete = complete || !slices.Contains(flagsWithValue, name)
		}
		if slices.Contains(flagsWithValue, name) && !hasValue {
			i++
		}
	}
	call.help = call.help || call.command == "help"
	switch {
	case call.help || complete:
	case call.command == "":
		call.bare = true
		call.args = []string{"--help"}
	case call.command == "run" && words == 1:
		call.bare = true
		call.args = []string{"run", "--help"}
	}
	return call
}

const rootHelp = `{{.Name}} moves MQTT messages into Kafka, whatever broker they come from.

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

// setHelp gives the root help our own text, and keeps a wrong flag to one line:
// upstream would print the whole help after it.
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

// isGroup tells whether help is about a command that only holds others, whose
// bare call prints it.
func isGroup(data any) bool {
	cmd, ok := data.(*ucli.Command)
	return ok && slices.ContainsFunc(cmd.Subcommands, func(c *ucli.Command) bool { return c.Name != "help" })
}
