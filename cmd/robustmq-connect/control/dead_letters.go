package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func deadLettersCommand() *ucli.Command {
	group := &ucli.Command{
		Name:  "dead-letters",
		Usage: "List and replay records that Kafka refused",
		Description: `They are those of a connector with the failure strategy dead_message_queue:

  robustmq-connect mqtt connector dead-letters list --connector-name c1
  robustmq-connect mqtt connector dead-letters replay --connector-name c1 --letter 0/17`,
		ArgsUsage:    "COMMAND",
		Flags:        adminFlags(),
		Action:       cli.NeedsSubcommand,
		OnUsageError: cli.UsageError("mqtt connector dead-letters"),
	}
	for _, command := range []*ucli.Command{listLettersCommand(), replayCommand()} {
		group.Subcommands = append(group.Subcommands, cli.Action(command))
	}
	return group
}

func listLettersCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "list",
		Usage: "Print the dead letters of a connector and why Kafka refused them",
		Description: `The newest come first. Each begins with its place in the dead letter topic, PARTITION/OFFSET:

  robustmq-connect mqtt connector dead-letters list --connector-name c1
  robustmq-connect mqtt connector dead-letters list --connector-name c1 --oldest --limit 100
  robustmq-connect mqtt connector dead-letters list --connector-name c1 --output json`,
		Flags: append([]ucli.Flag{
			nameFlag("the connector's `NAME`"), tenantFlag(),
			&ucli.StringFlag{Name: "limit", Usage: "print this `NUMBER` of letters, 20 by default, 100 at most"},
			&ucli.BoolFlag{Name: "oldest", Usage: "begin with the oldest"},
			&ucli.StringFlag{Name: "cursor", Usage: "go on at this `CURSOR`, which the page before has told"},
		}, adminFlags()...),
		Action: onConnector("listing dead letters", "listing the dead letters of connector", listLetters),
	}
}

func replayCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "replay",
		Usage: "Write dead letters to the topics that they were meant for",
		Description: `First correct what Kafka refused them for. Each letter is replayed once at most, however often
this is called. A replayed record stands behind those that were written after it:

  robustmq-connect mqtt connector dead-letters replay --connector-name c1 --letter 0/17 --letter 2/4
  robustmq-connect mqtt connector dead-letters replay --connector-name c1 --all

It exits with code 1 if Kafka refuses a letter again.`,
		Flags: append([]ucli.Flag{
			nameFlag("the connector's `NAME`"), tenantFlag(),
			&ucli.StringSliceFlag{Name: "letter", Usage: "replay the letter at this `PARTITION/OFFSET`; may be repeated"},
			&ucli.BoolFlag{Name: "all", Usage: "replay all that were not replayed yet"},
		}, adminFlags()...),
		Action: onConnector("replaying dead letters", "replaying dead letters of connector", replayLetters),
	}
}

func listLetters(c *ucli.Context, name string) error {
	inJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	limit, err := positive(c, "limit", 0)
	if err != nil {
		return err
	}
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	query := nameQuery(c, name)
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	if c.Bool("oldest") {
		query.Set("order", "oldest")
	}
	if cursor := c.String("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	var text json.RawMessage
	notes, err := client.get(c.Context, admin.PathDeadLetters, query, &text)
	if err != nil {
		return err
	}
	printNotes(c, notes)
	if inJSON {
		return cli.PrintJSON(c.App.Writer, text)
	}
	var page admin.DeadLetters
	if err := client.decode(text, &page); err != nil {
		return err
	}
	for _, letter := range page.Letters {
		printLetter(c, letter)
	}
	switch {
	case page.Next != nil:
		printNote(c, "there is more: --cursor %s", *page.Next)
	case len(page.Letters) == 0:
		printNote(c, "the topic %s has no dead letters of this connector", page.TopicName)
	}
	return nil
}

func printLetter(c *ucli.Context, l admin.DeadLetter) {
	line := func(indent, format string, args ...any) {
		fmt.Fprintln(c.App.Writer, indent+cli.OneLine(fmt.Sprintf(format, args...)))
	}
	head := fmt.Sprintf("%d/%d  %s  to %s", l.Partition, l.Offset, localMillis(l.Time), l.KafkaTopic)
	if l.Key != nil {
		head += "  key " + excerptText(l.Key)
	}
	if l.ReplayedTime != nil {
		head += "  replayed " + localMillis(*l.ReplayedTime)
	}
	line("", "%s", head)
	line("  ", "%s", l.Reason)
	line("  ", "%s", excerptText(l.Value))
}

// localMillis is a time of the API in the zone of whoever reads it.
func localMillis(text string) string {
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return when.Local().Format("2006-01-02 15:04:05.000")
}

func replayLetters(c *ucli.Context, name string) error {
	inJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	body := admin.ReplayRequest{Name: admin.Name{Tenant: c.String("tenant"), ConnectorName: name}, All: c.Bool("all")}
	for _, place := range c.StringSlice("letter") {
		partition, offset, _ := strings.Cut(place, "/")
		p, err := strconv.ParseInt(partition, 10, 32)
		o, offsetErr := strconv.ParseInt(offset, 10, 64)
		if err != nil || offsetErr != nil || p < 0 || o < 0 {
			return fmt.Errorf("reading --letter %q: want PARTITION/OFFSET as list shows it, 0/17 for example", place)
		}
		body.Letters = append(body.Letters, admin.LetterPlace{Partition: int32(p), Offset: o})
	}
	if body.All == (len(body.Letters) > 0) {
		return errors.New("name letters with --letter, or give --all")
	}
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	var text json.RawMessage
	notes, err := client.post(c.Context, admin.PathReplay, body, &text)
	if err != nil {
		return err
	}
	var result admin.ReplayResult
	if err := client.decode(text, &result); err != nil {
		return err
	}
	if inJSON {
		if err := cli.PrintJSON(c.App.Writer, text); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.App.Writer, "replayed %d letters; %d were replayed before\n", result.Replayed, result.AlreadyReplayed)
		for _, l := range result.Refused {
			fmt.Fprintf(c.App.Writer, "%d/%d: %s\n", l.Partition, l.Offset, cli.OneLine(l.Reason))
		}
	}
	printNotes(c, notes)
	if result.RefusedTotal > 0 {
		return fmt.Errorf("%d letters were not replayed", result.RefusedTotal)
	}
	return nil
}
