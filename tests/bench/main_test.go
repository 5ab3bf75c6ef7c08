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
