// Package cli holds what the commands of this program have in common: how they
// read their flags and files, and how they print.
package cli

import (
	"errors"
	"fmt"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// BinaryName is the name of the program in its texts.
const BinaryName = "robustmq-connect"

// ErrReported is the error of a command that has said itself what is wrong, so that
// only the exit code is left to set.
var ErrReported = errors.New("")

// ErrPending is that of a command which was asked whether anything is to change, and
// something is. Its exit code is 2.
var ErrPending = errors.New("")

// Action completes a command that holds no others: whatever goes wrong is told
// in one line, and a word that no flag takes is not passed over.
func Action(command *ucli.Command) *ucli.Command {
	run := command.Action
	command.OnUsageError = UsageError(command.Name)
	command.HideHelpCommand = true // --help is there
	command.Action = func(c *ucli.Context) error {
		if c.Args().Present() {
			return fmt.Errorf("reading %q: %s takes flags only, see %s --help", c.Args().First(), command.Name, c.Command.HelpName)
		}
		return run(c)
	}
	return command
}

// UsageError says in one line what is wrong with the flags of a command.
func UsageError(name string) ucli.OnUsageErrorFunc {
	return func(c *ucli.Context, err error, _ bool) error {
		return fmt.Errorf("reading the flags of %s: %w; see %s --help", name, err, c.Command.HelpName)
	}
}

// NeedsSubcommand replaces the library's answer to a wrong or a missing
// subcommand, which is help and success.
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
