package main

import (
	"fmt"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func tokenCommand() *ucli.Command {
	return cli.OneWord(&ucli.Command{
		Name:  "token",
		Usage: "Make a token for the admin API of a service",
		Description: `Prints a random token, which is shown this once, and the entry that lets it in. The entry
holds the token's hash. Add it to the file of "serve --api-tokens-file":

  robustmq-connect token grafana --role read
  robustmq-connect token alice@example.com --role operate --payloads

A token of the role read sees connectors, one of the role operate changes them too, and
one of the role admin sets their passwords and keys too.`,
		Flags: []ucli.Flag{
			&ucli.StringFlag{Name: "role", Usage: "what the token may do: `ROLE` is read, operate or admin"},
			&ucli.BoolFlag{Name: "payloads", Usage: "let the token see messages"},
			&ucli.StringFlag{Name: "output", Value: "text", Usage: "print for people or for programs: `FORMAT` is text or json"},
		},
		Action: func(c *ucli.Context) error {
			format := c.String("output")
			if format != "text" && format != "json" {
				return fmt.Errorf("reading --output %q: must be text or json", format)
			}
			text, entry, err := admin.NewToken(c.Args().First(), c.String("role"), c.Bool("payloads"))
			if err != nil {
				return fmt.Errorf("making a token: %w", err)
			}
			if format == "json" {
				return cli.PrintJSON(c.App.Writer, map[string]string{"token": text, "entry": entry})
			}
			_, err = fmt.Fprintf(c.App.Writer, "The token, which is shown this once:\n\n%s\n\nIts entry in the file of --api-tokens-file:\n\n%s", text, entry)
			return err
		},
	}, "NAME")
}
