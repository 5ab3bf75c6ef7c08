// Command robustmq-connect moves MQTT messages into Kafka and back. It is a
// distribution of Redpanda Connect: it runs, lints and tests pipeline files.
package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/plugins"
	"github.com/robustmq/robustmq-connect/plugins/lint"
	"github.com/robustmq/robustmq-connect/templates"
)

const (
	binaryName  = "robustmq-connect"
	productName = "RobustMQ Connect"
	// controlName is RobustMQ's own command line. A link of that name takes the
	// lines of RobustMQ's documentation.
	controlName = "robust-ctl"
	// upstreamDocs is where upstream's help texts lead: what they describe is
	// upstream's.
	upstreamDocs = "https://docs.redpanda.com/redpanda-connect"
)

func main() {
	tuneMemory()
	os.Exit(run(context.Background(), os.Args[1:]))
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	words, completing := completionWords(args)
	if completing {
		args = []string{completeCommandName}
	}
	name := programName()
	call := parseInvocation(args)
	if name == controlName && call.command == "" && (call.bare || call.help) {
		call.args = []string{"mqtt", "--help"}
	}
	if call.version {
		printVersion(os.Stdout)
		return 0
	}
	env := service.GlobalEnvironment()
	if err := plugins.Register(env); err != nil {
		printError(os.Stderr, err)
		return 1
	}
	cliEnv := env
	if call.prints() {
		var err error
		if cliEnv, err = lint.StandIns(env); err != nil {
			printError(os.Stderr, err)
			return 1
		}
	}
	setHelp(call)
	if call.command == "create" {
		defer oneThreadInStdout()()
	}
	options := []service.CLIOptFunc{
		service.CLIOptSetArgs(append([]string{name}, call.args...)...),
		service.CLIOptSetBinaryName(name),
		service.CLIOptSetProductName(productName),
		service.CLIOptSetDocumentationURL(upstreamDocs),
		service.CLIOptSetVersion(buildVersion(), buildDate()),
		service.CLIOptSetDefaultConfigPaths(),
		service.CLIOptSetEnvironment(cliEnv),
		service.CLIOptSetMainSchemaFrom(func() *service.ConfigSchema { return mainSchema(cliEnv) }),
		service.CLIOptOnLoggerInit(func(log *service.Logger) {
			templates.OnNotice(func(text string) { log.Warn(text) })
		}),
		service.CLIOptAddCommand(lintCommand(env)),
		service.CLIOptAddCommand(demoCommand()),
		service.CLIOptAddCommand(serveCommand(env)),
		service.CLIOptAddCommand(mqttCommand(env)),
		service.CLIOptAddCommand(completionCommand()),
		service.CLIOptAddCommand(withoutStudio()),
	}
	if completing {
		options = append(options, service.CLIOptAddCommand(completeCommand(words)))
	}
	code, err := service.RunCLIToCode(ctx, options...)
	if err != nil && !errors.Is(err, errReported) {
		printError(os.Stderr, err)
	}
	if call.bare {
		return 1
	}
	return code
}

// programName is the name that the user called, for texts that name a command.
func programName() string {
	if name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"); name == controlName {
		return name
	}
	return binaryName
}

// mainSchema is upstream's schema of a pipeline file with the defaults that this
// distribution changes: one thread, which keeps the order of messages, and an
// HTTP server that only this machine reaches.
func mainSchema(env *service.Environment) *service.ConfigSchema {
	schema := env.FullConfigSchema(buildVersion(), buildDate())
	schema.SetFieldDefault(1, "pipeline", "threads")
	schema.SetFieldDefault("127.0.0.1:4195", "http", "address")
	schema.SetFieldDefault(map[string]any{"@service": binaryName}, "logger", "static_fields")
	return schema
}

// withoutStudio hides upstream's command for a web service that this
// distribution has nothing to do with.
func withoutStudio() *ucli.Command {
	return &ucli.Command{
		Name:   "studio",
		Hidden: true,
		Action: func(*ucli.Context) error {
			return errors.New("studio is not part of this distribution; see robustmq-connect --help")
		},
	}
}

// oneThreadInStdout changes what is printed until the function that it returns
// is called: upstream's "create --small" knows only the defaults of its own
// schema, whose number of threads does not keep the order.
func oneThreadInStdout() (flush func()) {
	stdout := os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	os.Stdout = w
	printed := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(r) // the other end is ours, and is closed below
		printed <- text
	}()
	return func() {
		os.Stdout = stdout
		_ = w.Close() // a pipe's gives no error
		text := bytes.Replace(<-printed, []byte("\n  threads: -1\n"), []byte("\n  threads: 1\n"), 1)
		_, _ = stdout.Write(text) // nobody is left to tell when the terminal is gone
	}
}
