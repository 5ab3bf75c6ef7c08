package control

import (
	"bytes"
	"flag"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"
)

// drawn is a table as a terminal shows it, or a wide one, and what is told beside it.
func drawn(wide bool, columns []column, rows [][]string) (lines []string, notes string) {
	var out, notesOut bytes.Buffer
	c := ucli.NewContext(&ucli.App{Writer: &out, ErrWriter: &notesOut}, flag.NewFlagSet("", flag.ContinueOnError), nil)
	printTableAs(c, wide, columns, rows)
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), notesOut.String()
}

func TestATableFitsByChoosingColumns(t *testing.T) {
	long := strings.Repeat("x", 60)
	columns := []column{{"name", 0}, {"config", 3}, {"topic", 0}, {"created", 1}, {"updated", 2}}
	rows := [][]string{{"a", long + long, "t/#", "2026-11-25", "2026-11-26"}, {"b", "", long, "2026-11-25", "2026-11-26"}}
	lines, notes := drawn(false, columns, rows)
	assert.Equal(t, "note: not shown: config; --wide shows all columns\n", notes)
	assert.Regexp(t, `^\| name \| topic +\| created +\| updated +\|$`, lines[1])
	assert.Regexp(t, `^\| a    \| t/# +\| 2026-11-25 \| 2026-11-26 \|$`, lines[3])
	rows[1][0] = strings.Repeat("n", 20)
	lines, notes = drawn(false, columns, rows)
	assert.Equal(t, "note: not shown: config, updated; --wide shows all columns\n", notes)
	assert.Regexp(t, `^\| name +\| topic +\| created +\|$`, lines[1])

	lines, notes = drawn(true, columns, rows)
	assert.Empty(t, notes)
	assert.Contains(t, lines[3], long+long)
	assert.Len(t, lines, 6)
	lines, notes = drawn(false, columns, [][]string{{"a", "b", "c", "d", "e"}})
	assert.Empty(t, notes, "it fits")
	assert.Equal(t, "| a    | b      | c     | d       | e       |", lines[3])
}

// What cannot be left out is wrapped, and nothing of it is lost.
func TestATableWrapsWhatItMustShow(t *testing.T) {
	config := `{"bootstrap_servers":"kafka1:9092,kafka2:9092","topic":"a","key":"` + strings.Repeat("é", 150) + `"}`
	reason := "waits for Kafka since 2026-11-25 10:00:00: dialling kafka1:9092: connection refused; it continues by itself once that is corrected"
	lines, notes := drawn(false, []column{{"what", 0}, {"value", 0}}, [][]string{{"config", config}, {"reason", reason}, {"empty", ""}})
	assert.Empty(t, notes)
	var joined strings.Builder
	for _, line := range lines {
		assert.Equal(t, tableWidth, utf8.RuneCountInString(line), line)
		if parts := strings.Split(line, " | "); len(parts) == 2 {
			joined.WriteString(strings.TrimRight(strings.TrimSuffix(parts[1], "|"), " ") + " ")
		}
	}
	assert.Contains(t, strings.ReplaceAll(joined.String(), " ", ""), strings.ReplaceAll(config+reason, " ", ""))
	assert.Contains(t, joined.String(), reason, "divided between words")
	for _, text := range []string{"", "a", strings.Repeat(" ", 30), "aaaaaaaaaaa", "a b c d e f g h i"} {
		for width := 1; width < 12; width++ {
			for _, line := range wrap(text, width) {
				assert.LessOrEqual(t, len(line), width)
			}
		}
	}
}

func TestTablesOfOursFitAndWideOnesAreWhole(t *testing.T) {
	noEnvironment(t)
	long := strings.Repeat("k", 300)
	server := newScripted(t, map[string]http.HandlerFunc{
		"detail":  gives(`{"code":0,"data":{"config":"` + long + `"},"error":null}`),
		"history": gives(`{"code":0,"data":[{"revision":1,"actor":"` + long + `","unreadable":"` + long + `"}],"error":null}`),
	})
	for _, command := range []string{"detail", "history"} {
		stdout, _, err := runMQTT("", "connector", command, "-c", "a", "--server", server.URL)
		require.NoError(t, err)
		for line := range strings.Lines(stdout) {
			assert.LessOrEqual(t, len(line), tableWidth+1, command)
		}
		stdout, _, err = runMQTT("", "connector", command, "-c", "a", "--wide", "--server", server.URL)
		require.NoError(t, err)
		assert.Contains(t, stdout, long, command)
	}
}
