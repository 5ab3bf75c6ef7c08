package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/stores"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
)

// storeCommand works on stores whose service does not run.
func storeCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "store",
		Usage: "Move the connectors of a service to another store",
		Description: `A store is a directory or Kafka topics, as serve --store has it:

  robustmq-connect store copy ./connectors kafka://localhost:9092/robustmq_connect`,
		Subcommands:  []*ucli.Command{storeCopyCommand()},
		Action:       cli.NeedsSubcommand,
		OnUsageError: cli.UsageError("store"),
	}
}

func storeCopyCommand() *ucli.Command {
	text := func(name, value, usage string) ucli.Flag {
		return &ucli.StringFlag{Name: name, Value: value, Usage: usage}
	}
	return cli.Words(&ucli.Command{
		Name:  "copy",
		Usage: "Copy all connectors from one store to another",
		Description: `Copies connectors with their secrets, history and sessions. No service may use either store.
Stop the one that has FROM, copy, and start it with TO; FROM stays as it is:

  robustmq-connect store copy ./connectors kafka://localhost:9092/robustmq_connect --store-key-file keys.txt
  robustmq-connect store copy kafka://localhost:9092/robustmq_connect ./connectors --dry-run

Both stores in Kafka are reached as --store-config says.`,
		Flags: append([]ucli.Flag{
			&ucli.BoolFlag{Name: "dry-run", Usage: "say what would be copied, and do not open the store TO"},
			&ucli.BoolFlag{Name: "force", Usage: "replace everything that the store TO has"},
		}, stores.Flags(text)...),
		Action: func(c *ucli.Context) error {
			ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := storeCopy(ctx, c); err != nil {
				return fmt.Errorf("copying the store: %w", err)
			}
			return nil
		},
	}, "FROM TO")
}

func storeCopy(ctx context.Context, c *ucli.Context) (err error) {
	if c.NArg() != 2 {
		return fmt.Errorf("name two stores, FROM and TO: %d are given", c.NArg())
	}
	from, to := c.Args().Get(0), c.Args().Get(1)
	if sameStore(from, to) {
		return errors.New("FROM and TO are the same store")
	}
	source, err := stores.OpenSource(ctx, c, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	all, err := source.Whole()
	if err != nil {
		return err
	}
	if err := stores.CheckReadable(c, all.Contents, from, "correct or delete them first"); err != nil {
		return err
	}
	if all.Version < store.Version {
		return fmt.Errorf("%s is of version %d, which does not know all sessions: start a service with it once, and stop that", from, all.Version)
	}
	if c.Bool("dry-run") {
		for _, d := range all.Definitions {
			fmt.Fprintf(c.App.Writer, "%s, revision %d\n", cli.OneLine(d.Connector.Name), d.Revision)
		}
		tellCopied(c, "Would copy", all, from, to)
		return nil
	}
	target, err := stores.Open(ctx, c, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if !c.Bool("force") {
		if err := stores.CheckEmpty(target, to, "name another one, or give --force to replace all of it"); err != nil {
			return err
		}
	}
	if err := target.Fill(all); err != nil {
		return err
	}
	tellCopied(c, "Copied", all, from, to)
	return nil
}

func tellCopied(c *ucli.Context, done string, all store.Whole, from, to string) {
	fmt.Fprintf(c.App.Writer, "%s %d connectors, %d deleted ones whose sessions remain and %d sessions from %s to %s\n",
		done, len(all.Definitions), len(all.Released), len(all.Sessions), from, to)
}

func sameStore(from, to string) bool {
	if kafkastore.Is(from) || kafkastore.Is(to) {
		return from == to
	}
	a, errA := filepath.Abs(from)
	b, errB := filepath.Abs(to)
	return errA == nil && errB == nil && a == b
}
