package control

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// printTable draws rows as RobustMQ's command line does, with a title above.
func printTable(w io.Writer, columns []string, rows [][]string) {
	widths := make([]int, len(columns))
	all := append([][]string{columns}, rows...)
	for _, row := range all {
		for i := range row {
			row[i] = cli.OneLine(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	rule := func() {
		for _, width := range widths {
			b.WriteString("+" + strings.Repeat("-", width+2))
		}
		b.WriteString("+\n")
	}
	rule()
	for i, row := range all {
		for j, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)) + " ")
		}
		b.WriteString("|\n")
		if i == 0 || i == len(all)-1 {
			rule()
		}
	}
	fmt.Fprint(w, b.String())
}

// jsonOutput reads --output, which may stand behind any command of the line.
func jsonOutput(c *ucli.Context) (bool, error) {
	switch output, _ := inherited(c, "output"); output {
	case "", "table":
		return false, nil
	case "json":
		return true, nil
	default:
		return false, fmt.Errorf("reading --output %q: want table or json", output)
	}
}
