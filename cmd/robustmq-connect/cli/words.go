package cli

import (
	"fmt"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// OneWord completes a command that takes one word, which is called what.
func OneWord(command *ucli.Command, what string) *ucli.Command {
	run := command.Action
	command.Action = func(c *ucli.Context) error {
		if n := c.NArg(); n != 1 {
			return fmt.Errorf("reading the words of %s: it takes one, %s, and got %d: see %s --help", command.Name, what, n, c.Command.HelpName)
		}
		return run(c)
	}
	return Words(command, what)
}

// Words completes a command that takes words, which are called what. Its flags may
// stand behind the words too; the library takes those for words.
func Words(command *ucli.Command, what string) *ucli.Command {
	run := command.Action
	command.OnUsageError = UsageError(command.Name)
	command.HideHelpCommand = true
	command.ArgsUsage = what
	command.Action = func(c *ucli.Context) error {
		words := c.Args().Slice()
		if !slices.ContainsFunc(words, isFlag) {
			return run(c)
		}
		return command.Run(c.Lineage()[1], append([]string{command.Name}, flagsFirst(c, words)...)...)
	}
	return command
}

func isFlag(word string) bool { return len(word) > 1 && word[0] == '-' }

// flagsFirst is the line with its words behind its flags.
func flagsFirst(c *ucli.Context, line []string) []string {
	var flags, words []string
	given := c.LocalFlagNames()
	for _, flag := range c.Command.Flags {
		if name := flag.Names()[0]; slices.Contains(given, name) { // and not by its other names
			flags = append(flags, "--"+name+"="+fmt.Sprint(c.Value(name)))
		}
	}
	for i := 0; i < len(line); i++ {
		if !isFlag(line[i]) {
			words = append(words, line[i])
			continue
		}
		flags = append(flags, line[i])
		if takesNext(c.Command, line[i]) && i+1 < len(line) {
			i++
			flags = append(flags, line[i])
		}
	}
	return append(append(flags, "--"), words...)
}

// takesNext tells whether the value of a flag is the next word of the line.
func takesNext(command *ucli.Command, word string) bool {
	name := strings.TrimLeft(word, "-")
	for _, flag := range command.Flags {
		if slices.Contains(flag.Names(), name) { // with =, there is none of that name
			_, alone := flag.(*ucli.BoolFlag)
			return !alone
		}
	}
	return false
}
