package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A checkout has no bin/, in which make bench-quick keeps its table.
func TestResultsAreKeptInAFolderThatWasNotThere(t *testing.T) {
	out := filepath.Join(t.TempDir(), "bin", "bench.md")
	earlier, err := prepareOut(out)
	require.NoError(t, err)
	assert.Equal(t, report{}, earlier)

	r := report{Machine: "a machine", Rounds: 3, Cells: []cellReport{{Name: "a cell", Systems: map[string]figures{}}}}
	require.NoError(t, write(r, out))
	table, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Contains(t, string(table), "a machine")
	earlier, err = prepareOut(out)
	require.NoError(t, err)
	assert.Equal(t, r, earlier)
}

func TestEarlierResultsThatCannotBeReadAreNotWrittenOver(t *testing.T) {
	out := filepath.Join(t.TempDir(), "bench.md")
	require.NoError(t, os.WriteFile(jsonPath(out), []byte("{"), 0o600))
	_, err := prepareOut(out)
	require.ErrorContains(t, err, "reading the earlier results "+jsonPath(out))
	_, err = prepareOut(filepath.Join(jsonPath(out), "bench.md"))
	require.ErrorContains(t, err, "making the folder of -out")
}

// What is published is what was measured: the table in the repository is that of the
// figures beside it.
func TestThePublishedTableIsThatOfItsFigures(t *testing.T) {
	r, err := prepareOut("RESULTS.md")
	require.NoError(t, err)
	require.NotEmpty(t, r.Cells)
	published, err := os.ReadFile("RESULTS.md")
	require.NoError(t, err)
	assert.Equal(t, table(r), string(published))
}

func TestTheTableHasEachServiceThatWasMeasured(t *testing.T) {
	watched := figures{CPU: 240, Memory: 180}
	f := fleets{
		Connectors: map[int]figures{200: {CPU: 220, Memory: 160}, 1: {CPU: 190, Memory: 90}},
		Rest:       map[int]restFigures{1: {50, 0.25, 0.5, 1}, 200: {120, 1.5, 2.5, 3}},
		Watched:    &watched, Before: map[int]figures{200: {CPU: 234, Memory: 172}, 10: {CPU: 195, Memory: 103}},
	}
	table := fleetsTable(f)
	for _, row := range []string{
		"| 1 | 190 µs | 90 MB |  |\n| 200 | 220 µs | 160 MB | 234 µs, 172 MB |\n| 200, with the console open and a tail running | 240 µs | 180 MB |  |\n",
		"| 1 | 50 MB | 0.2 % | 0.5 s | 1.0 ms |\n| 200 | 120 MB | 1.5 % | 2.5 s | 3.0 ms |\n",
	} {
		assert.Contains(t, table, row)
	}
	assert.NotContains(t, table, "| 10 |")
	assert.Empty(t, fleetsTable(fleets{}))
	f.Rest = nil
	assert.NotContains(t, fleetsTable(f), "at rest")
}
