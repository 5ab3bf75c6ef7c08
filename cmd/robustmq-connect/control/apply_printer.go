package control

import (
	"fmt"
	"io"
	"os"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// applyPrinter tells what apply is to do, and what it does.
type applyPrinter struct {
	c      *ucli.Context
	inJSON bool
	dryRun bool
	color  bool
}

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

// colored tells whether the output may have colours: https://no-color.org.
func colored(w io.Writer) bool { return cli.IsTerminal(w) && os.Getenv("NO_COLOR") == "" }

func (p applyPrinter) line(color, format string, args ...any) {
	text := cli.OneLine(fmt.Sprintf(format, args...))
	if p.color {
		text = color + text + "\x1b[0m"
	}
	fmt.Fprintln(p.c.App.Writer, text)
}

// plan prints the difference of each connector that is to change.
func (p applyPrinter) plan(all []planned) {
	if p.inJSON {
		return
	}
	for _, one := range all {
		switch one.Action {
		case toCreate:
			p.line(green, "+ %s: create it from %s", one.Name, one.From)
		case toUpdate:
			p.line(yellow, "~ %s: update revision %d to %s", one.Name, one.Revision, one.From)
		case toDelete:
			p.line(red, "- %s: delete revision %d, no file names it", one.Name, one.Revision)
		}
		for _, f := range one.Changes {
			switch {
			case f.Before == nil:
				p.line(green, "    + %s: %s", f.Field, f.After)
			case f.After == nil:
				p.line(red, "    - %s: %s", f.Field, f.Before)
			case f.Secret:
				p.line(yellow, "    ~ %s: the secret changes", f.Field)
			default:
				p.line(yellow, "    ~ %s: %s -> %s", f.Field, f.Before, f.After)
			}
		}
		if one.Action != toKeep && p.dryRun {
			p.notes(one)
		}
	}
	n := count(all, func(p planned) string { return p.Action })
	fmt.Fprintf(p.c.App.Writer, "%d to create, %d to update, %d to delete, %d as they should be\n", n[toCreate], n[toUpdate], n[toDelete], n[toKeep])
}

// done tells how one change went.
func (p applyPrinter) done(one planned) {
	if p.inJSON {
		return
	}
	if one.Result == "failed" {
		fmt.Fprintf(p.c.App.ErrWriter, "%s: %s failed: %s\n", cli.OneLine(one.Name), one.Action, cli.OneLine(one.Error))
		return
	}
	p.notes(one)
	past := map[string]string{toCreate: "created, revision %d", toUpdate: "updated, revision %d", toDelete: "deleted"}[one.Action]
	if strings.Contains(past, "%d") {
		past = fmt.Sprintf(past, one.Revision)
	}
	fmt.Fprintf(p.c.App.Writer, "%s: %s\n", cli.OneLine(one.Name), past)
}

func (p applyPrinter) notes(one planned) {
	for _, text := range one.Notes {
		printNote(p.c, "%s: %s", one.Name, text)
	}
}

// end gives the error that sets the exit code.
func (p applyPrinter) end(all []planned) error {
	if p.inJSON {
		if err := cli.PrintJSON(p.c.App.Writer, outcome{DryRun: p.dryRun, Connectors: all}); err != nil {
			return err
		}
	}
	n := count(all, func(p planned) string { return p.Result })
	switch {
	case n["failed"] > 0:
		return cli.ErrReported
	case n["pending"] > 0:
		return cli.ErrPending
	}
	return nil
}

func count(all []planned, by func(planned) string) map[string]int {
	n := map[string]int{}
	for _, p := range all {
		n[by(p)]++
	}
	return n
}
