package cli

import (
	"fmt"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// OneWord completes a command that takes one word, which is called what. Its flags may
// stand behind the word too; the library takes those for words.
func OneWord(command *ucli.Command, what string) *ucli.Command {
	run := command.Action
	command.OnUsageError = UsageError(command.Name)
	command.HideHelpCommand = true
	command.ArgsUsage = what
	command.Action = func(c *ucli.Context) error {
		words := c.Args().Slice()
		if len(words) > 1 && strings.HasPrefix(words[1], "-") {
			return command.Run(c.Lineage()[1], append([]string{command.Name}, flagsFirst(c, words)...)...)
		}
		if len(words) != 1 {
			return fmt.Errorf("reading the words of %s: it takes one, %s, and got %d: see %s --help", command.Name, what, len(words), c.Command.HelpName)
		}
		return run(c)
	}
	return command
}

// flagsFirst is the line with its first word behind the flags that follow it.
func flagsFirst(c *ucli.Context, words []string) []string {
	var line []string
	for _, name := range c.LocalFlagNames() {
		line = append(line, "--"+name+"="+fmt.Sprint(c.Value(name)))
	}
	return append(append(line, words[1:]...), words[0])
}
