package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheArchiveOfADirectoryIsReadAsAWhole(t *testing.T) {
	dir := t.TempDir()
	s := filled(t, dir)
	want, err := s.Whole()
	require.NoError(t, err)
	var archive bytes.Buffer
	_, err = Backup(dir, &archive)
	require.NoError(t, err)

	got, err := ReadArchive(bytes.NewReader(archive.Bytes()))
	require.NoError(t, err)
	assert.Equal(t, want.Definitions, got.Definitions)
	assert.Equal(t, want.Sessions, got.Sessions)
	assert.Equal(t, want.Past, got.Past)
	assert.Equal(t, want.Gone, got.Gone)
	require.Len(t, got.Released, 1)
	assert.Equal(t, want.Released[0].Definition, got.Released[0].Definition)
	require.Len(t, got.Unreadable, 1)
	assert.Equal(t, "connectors/later.json", got.Unreadable[0].File)

	for n := range archive.Len() {
		_, err := ReadArchive(bytes.NewReader(archive.Bytes()[:n]))
		require.Error(t, err, "a backup that was cut off is refused")
	}
}

func TestTheArchiveOfAWholeIsRestoredIntoADirectory(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	s := filled(t, from)
	w, err := s.Whole()
	require.NoError(t, err)
	var archive bytes.Buffer
	require.NoError(t, w.Archive(&archive))
	all, err := Restore(to, &archive)
	require.NoError(t, err)
	assert.Equal(t, w.Definitions, all.Definitions)
	assert.Equal(t, w.Sessions, all.Sessions)
	assert.Equal(t, Version, all.Version)
	r := open(t, to)
	for _, d := range all.Definitions {
		assert.Equal(t, history(t, s, d), history(t, r, d))
	}
	assert.Equal(t, create(t, s, "new").Revision, create(t, r, "new").Revision)
}

// Version 1 did not record sessions: connectors would look as if others had made theirs.
func TestAnArchiveOfVersionOneIsForADirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s, "c")
	var archive bytes.Buffer
	_, err := Backup(dir, &archive)
	require.NoError(t, err)
	_, err = ReadArchive(&archive)
	require.ErrorContains(t, err, "of a store of version 1, which does not know all sessions: restore it into a directory")
}

func TestAnArchiveWithADamagedHistoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, historyDir, "c.json"), []byte("{"), 0o600))
	var archive bytes.Buffer
	_, err := Backup(dir, &archive)
	require.NoError(t, err)
	_, err = ReadArchive(&archive)
	require.ErrorContains(t, err, `reading the history of connector "c"`)
}
