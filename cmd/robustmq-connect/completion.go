package main

import (
	_ "embed"
	"io"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// completionFlag ends a command line that a shell wants to complete; the name is the
// library's.
const completionFlag = "--generate-bash-completion"

// completeCommandName is the command that main runs for such a line.
const completeCommandName = "complete-line"

//go:embed completion/bash.sh
var bashCompletion string

//go:embed completion/zsh.sh
var zshCompletion string

//go:embed completion/fish.fish
var fishCompletion string

// completionCommand prints the script with which a shell completes command lines of
// this program, and of its link robust-ctl.
func completionCommand() *ucli.Command {
	script := func(shell, description, text string) *ucli.Command {
		return cli.Action(&ucli.Command{
			Name:        shell,
			Usage:       "Print the completion for " + shell,
			Description: description,
			Action: func(c *ucli.Context) error {
				_, err := io.WriteString(c.App.Writer, text)
				return err
			},
		})
	}
	return &ucli.Command{
		Name:  "completion",
		Usage: "Print the completion for bash, zsh or fish",
		Description: `What it prints completes commands and flags, also for a link named robust-ctl:

  source <(robustmq-connect completion bash)

To keep it, put that line into ~/.bashrc; for zsh and fish see their --help.`,
		Subcommands: []*ucli.Command{
			script("bash", "For this shell, or in ~/.bashrc for each:\n\n  source <(robustmq-connect completion bash)", bashCompletion),
			script("zsh", "For this shell, or in ~/.zshrc for each, after compinit:\n\n  source <(robustmq-connect completion zsh)", zshCompletion),
			script("fish", "For this shell, and for each:\n\n  robustmq-connect completion fish | source\n"+
				"  robustmq-connect completion fish > ~/.config/fish/completions/robustmq-connect.fish", fishCompletion),
		},
		Action:       cli.NeedsSubcommand,
		OnUsageError: cli.UsageError("completion"),
	}
}

// completionWords returns the words of a line to complete. The last is the start of a
// flag, or empty. Such a line must never run, whatever else it contains.
func completionWords(args []string) ([]string, bool) {
	if len(args) == 0 || args[len(args)-1] != completionFlag {
		return nil, false
	}
	return args[:len(args)-1], true
}

// completeCommand prints what may follow words. The engine builds the program's
// commands without the library's completion, so one of its commands does it.
func completeCommand(words []string) *ucli.Command {
	return &ucli.Command{
		Name:     completeCommandName,
		Hidden:   true,
		HideHelp: true,
		Action: func(c *ucli.Context) error {
			if len(words) == 0 {
				return nil
			}
			before, current := words[:len(words)-1], words[len(words)-1]
			if slices.Contains(before, "--") {
				return nil // only the user's own words follow
			}
			if len(before) > 0 && current == "" {
				if values := flagValues(before[len(before)-1]); len(values) > 0 {
					_, err := io.WriteString(c.App.Writer, strings.Join(values, "\n")+"\n")
					return err
				}
			}
			line := slices.Clone(words)
			if current == "--" {
				line = before // the library reads it as the end of the flags
			}
			c.App.EnableBashCompletion = true
			return c.App.RunContext(c.Context, slices.Concat([]string{cli.BinaryName}, line, []string{completionFlag}))
		},
	}
}

// flagValues returns the values of a flag that has only a few.
func flagValues(flag string) []string {
	switch flag {
	case "--output":
		return []string{"table", "json"}
	case "--failure-strategy":
		return []string{"block", "discard", "discard_after_retry", "dead_message_queue"}
	case "--connector-type":
		return []string{"kafka"}
	case "--role":
		return []string{"read", "operate", "admin"}
	case "--qos":
		return []string{"0", "1", "2"}
	}
	return nil
}
