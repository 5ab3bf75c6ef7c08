package control

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// tableWidth is what fits a terminal, and a mail.
const tableWidth = 100

// column is one of a table. Where the table is too wide, those of the greatest rank
// are left out first; one of rank 0 stays, and its cells are wrapped.
type column struct {
	name string
	rank int
}

func wideFlag() ucli.Flag {
	return &ucli.BoolFlag{Name: "wide", Usage: "print all columns, however wide the table becomes"}
}

// printTable draws rows as RobustMQ's command line does, tableWidth wide at most, or with
// --wide as wide as they are.
func printTable(c *ucli.Context, columns []column, rows [][]string) {
	printTableAs(c, c.Bool("wide"), columns, rows)
}

// printTableAs names the columns that it leaves out. A wide table leaves out and wraps
// nothing.
func printTableAs(c *ucli.Context, wide bool, columns []column, rows [][]string) {
	shown, left := columns, []string(nil)
	if !wide {
		shown, rows, left = chooseColumns(columns, rows)
	}
	header := make([]string, len(shown))
	for i, col := range shown {
		header[i] = col.name
	}
	widths := columnWidths(header, rows)
	if !wide {
		shrink(widths)
	}
	drawTable(c.App.Writer, header, rows, widths)
	if len(left) > 0 {
		printNote(c, "not shown: %s; --wide shows all columns", strings.Join(left, ", "))
	}
}

// chooseColumns leaves out columns until the others fit, or only those of rank 0 are left.
func chooseColumns(columns []column, rows [][]string) (shown []column, cells [][]string, left []string) {
	shown, cells = slices.Clone(columns), rows
	for {
		header := make([]string, len(shown))
		last := 0
		for i, col := range shown {
			header[i] = col.name
			if col.rank > shown[last].rank {
				last = i
			}
		}
		if total(columnWidths(header, cells)) <= tableWidth || shown[last].rank == 0 {
			return shown, cells, left
		}
		left = append(left, shown[last].name)
		shown = slices.Delete(shown, last, last+1)
		narrower := make([][]string, len(cells))
		for i, row := range cells {
			narrower[i] = slices.Delete(slices.Clone(row), last, last+1)
		}
		cells = narrower
	}
}

// columnWidths are the widths of the longest cells, in characters.
func columnWidths(header []string, rows [][]string) []int {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cli.OneLine(row[i])))
		}
	}
	return widths
}

// total is the width of a table with its lines.
func total(widths []int) int {
	sum := 1
	for _, width := range widths {
		sum += width + len("|  ")
	}
	return sum
}

// shrink takes from the widest column until the table fits.
func shrink(widths []int) {
	for total(widths) > tableWidth {
		widest := 0
		for i, width := range widths {
			if width > widths[widest] {
				widest = i
			}
		}
		widths[widest]--
	}
}

func drawTable(w io.Writer, header []string, rows [][]string, widths []int) {
	var b strings.Builder
	rule := func() {
		for _, width := range widths {
			b.WriteString("+" + strings.Repeat("-", width+2))
		}
		b.WriteString("+\n")
	}
	rule()
	all := append([][]string{header}, rows...)
	for i, row := range all {
		cells := make([][]string, len(row))
		height := 1
		for j, cell := range row {
			cells[j] = wrap(cli.OneLine(cell), widths[j])
			height = max(height, len(cells[j]))
		}
		for line := range height {
			for j, width := range widths {
				text := ""
				if line < len(cells[j]) {
					text = cells[j][line]
				}
				b.WriteString("| " + text + strings.Repeat(" ", width-utf8.RuneCountInString(text)) + " ")
			}
			b.WriteString("|\n")
		}
		if i == 0 || i == len(all)-1 {
			rule()
		}
	}
	fmt.Fprint(w, b.String())
}

// wrap divides text into lines of a width: behind a space or a comma in the second half
// of a line, otherwise anywhere. Joined again they are the text, but for spaces at their ends.
func wrap(text string, width int) []string {
	var lines []string
	left := []rune(text)
	for len(left) > width {
		end := width
		for i := width; i > width/2; i-- {
			if left[i] == ' ' || left[i-1] == ' ' || left[i-1] == ',' {
				end = i
				break
			}
		}
		lines = append(lines, strings.TrimRight(string(left[:end]), " "))
		left = []rune(strings.TrimLeft(string(left[end:]), " "))
	}
	return append(lines, string(left))
}

// jsonOutput reads --output, which may follow any command of the line.
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
