// Command robustmq-connect moves MQTT messages into Kafka and back. It is a
// distribution of Redpanda Connect: it runs, lints and tests pipeline files.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/control"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/demo"
	"github.com/robustmq/robustmq-connect/plugins"
	"github.com/robustmq/robustmq-connect/plugins/lint"
	"github.com/robustmq/robustmq-connect/plugins/mapping"
)

const (
	productName = "RobustMQ Connect"
	// controlName is RobustMQ's own command line. A link with that name accepts the
	// command lines of RobustMQ's documentation.
	controlName = "robust-ctl"
	// upstreamDocs is where upstream's help texts link to, because they describe
	// upstream.
	upstreamDocs = "https://docs.redpanda.com/redpanda-connect"
	// defaultPipelineHTTP is where a pipeline serves /ping, /ready and /metrics.
	defaultPipelineHTTP = "127.0.0.1:4195"
)

func main() {
	tuneMemory()
	go followLoad()
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
	if err := checkCall(call); err != nil {
		printError(os.Stderr, err)
		return 1
	}
	env := service.GlobalEnvironment()
	if err := registerComponents(env); err != nil {
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
	started := false
	upstream := []service.CLIOptFunc{
		service.CLIOptSetBinaryName(name),
		service.CLIOptSetProductName(productName),
		service.CLIOptSetDocumentationURL(upstreamDocs),
		// Upstream logs it as benthos_version.
		service.CLIOptSetVersion(moduleVersion(benthosModule), buildDate()),
		service.CLIOptSetDefaultConfigPaths(),
		service.CLIOptSetEnvironment(cliEnv),
		service.CLIOptSetMainSchemaFrom(func() *service.ConfigSchema { return mainSchema(cliEnv) }),
		service.CLIOptOnLoggerInit(onLogger),
		service.CLIOptOnStreamStart(func(*service.RunningStreamSummary) error {
			started = true
			return nil
		}),
	}
	runUpstream := func(args ...string) error {
		_, err := service.RunCLIToCode(ctx, slices.Concat(upstream, []service.CLIOptFunc{service.CLIOptSetArgs(append([]string{name}, args...)...)})...)
		return err
	}
	options := slices.Concat(upstream, []service.CLIOptFunc{
		service.CLIOptSetArgs(append([]string{name}, call.args...)...),
		service.CLIOptAddCommand(lintCommand(env)),
		service.CLIOptAddCommand(createPipelineCommand(cliEnv)),
		service.CLIOptAddCommand(listComponentsCommand(cliEnv, runUpstream)),
		service.CLIOptAddCommand(demo.Command()),
		service.CLIOptAddCommand(serveCommand(env)),
		service.CLIOptAddCommand(cli.Action(healthCommand())),
		service.CLIOptAddCommand(tokenCommand()),
		service.CLIOptAddCommand(control.Command(documentLinter(env))),
		service.CLIOptAddCommand(control.ConnectorsCommand()),
		service.CLIOptAddCommand(storeCommand()),
		service.CLIOptAddCommand(completionCommand()),
		service.CLIOptAddCommand(withoutStudio()),
	})
	if completing {
		options = append(options, service.CLIOptAddCommand(completeCommand(words)))
	}
	code, err := service.RunCLIToCode(ctx, options...)
	switch {
	case errors.Is(err, cli.ErrPending):
		return 2
	case err == nil || errors.Is(err, cli.ErrReported):
	case call.runs() && !started:
		printRunError(os.Stderr, env, call, err)
	default:
		printError(os.Stderr, err)
	}
	if call.bare {
		return 1
	}
	return code
}

// registerComponents adds our components to upstream's.
func registerComponents(env *service.Environment) error {
	return errors.Join(plugins.Register(env), registerNoInput(env))
}

// programName returns the name by which the user called the program, for texts that
// name a command.
func programName() string {
	if name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"); name == controlName {
		return name
	}
	return cli.BinaryName
}

// onLogger is called with the logger of a pipeline before anything is logged.
func onLogger(log *service.Logger) {
	log.With("version", buildVersion()).Info("Starting " + cli.BinaryName)
	mapping.OnNotice(func(level slog.Level, text string) {
		if level < slog.LevelWarn {
			log.Info(text)
		} else {
			log.Warn(text)
		}
	})
}

// mainSchema returns upstream's schema of a pipeline file with this distribution's
// defaults: one thread, which keeps the order of messages, no input, and an HTTP server
// that only this machine can reach.
func mainSchema(env *service.Environment) *service.ConfigSchema {
	schema := env.FullConfigSchema(buildVersion(), buildDate())
	setPipelineDefaults(schema)
	schema.SetFieldDefault(defaultPipelineHTTP, "http", "address")
	schema.SetFieldDefault(map[string]any{"@service": cli.BinaryName}, "logger", "static_fields")
	return schema
}

func setPipelineDefaults(schema *service.ConfigSchema) {
	schema.SetFieldDefault(1, "pipeline", "threads")
	schema.SetFieldDefault(map[string]any{noInputName: map[string]any{}}, "input")
}

// withoutStudio hides upstream's command for a web service that does not belong to this
// distribution.
func withoutStudio() *ucli.Command {
	return &ucli.Command{
		Name:   "studio",
		Hidden: true,
		Action: func(*ucli.Context) error {
			return errors.New("studio is not part of this distribution; see robustmq-connect --help")
		},
	}
}
