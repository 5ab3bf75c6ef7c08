// Package cli has what the commands of this program share: reading flags and files, and
// printing.
package cli

import (
	"errors"
	"fmt"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// BinaryName is the name of the program in its texts.
const BinaryName = "robustmq-connect"

// ErrReported is the error of a command that has already printed what is wrong, so that
// only the exit code remains to be set.
var ErrReported = errors.New("")

// ErrPending is the error of a command that was asked whether anything has to change,
// when something has. Its exit code is 2.
var ErrPending = errors.New("")

// Action completes a command without subcommands: it reports errors in one line, and
// refuses words that are not flags.
func Action(command *ucli.Command) *ucli.Command {
	run := command.Action
	command.OnUsageError = UsageError(command.Name)
	command.HideHelpCommand = true // --help exists
	command.Action = func(c *ucli.Context) error {
		if c.Args().Present() {
			return fmt.Errorf("reading %q: %s takes flags only, see %s --help", c.Args().First(), command.Name, c.Command.HelpName)
		}
		return run(c)
	}
	return command
}

// UsageError reports wrong flags of a command in one line.
func UsageError(name string) ucli.OnUsageErrorFunc {
	return func(c *ucli.Context, err error, _ bool) error {
		return fmt.Errorf("reading the flags of %s: %w; see %s --help", name, err, c.Command.HelpName)
	}
}

// NeedsSubcommand replaces the library's reaction to a wrong or a missing subcommand,
// which is to print help and succeed.
func NeedsSubcommand(c *ucli.Context) error {
	var names []string
	for _, sub := range c.Command.VisibleCommands() {
		if sub.Name != "help" {
			names = append(names, sub.Name)
		}
	}
	path := c.Command.HelpName
	if c.Args().Present() {
		return fmt.Errorf("%q is not a subcommand of %s; the subcommands are %s", c.Args().First(), path, strings.Join(names, ", "))
	}
	return fmt.Errorf("%s needs a subcommand: %s; see %s --help", path, strings.Join(names, ", "), path)
}
