package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// filled is a store with a file of every kind.
func filled(t *testing.T, dir string) *Dir {
	t.Helper()
	s := open(t, dir)
	require.NoError(t, s.Upgrade())
	d := revise(t, s, create(t, s, "c"), "t2")
	d.HandOver = []HandOver{{conn(t, "c", "old"), []string{"a:1"}}}
	require.NoError(t, s.Put(d))
	_, err := s.Release(create(t, s, "gone"))
	require.NoError(t, err)
	create(t, s, "../odd name")
	require.NoError(t, s.PutSession(Session{Endpoint: "localhost:1883", ClientID: "x", Connector: "c", Made: true, Filters: []string{"a/#"}}))
	require.NoError(t, os.WriteFile(filepath.Join(dir, connectorsDir, "later.json"), []byte(`{"connector_name":"later","later":1}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, connectorsDir, "half.json.tmp"), []byte("{"), 0o600))
	return s
}

func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(text)
		info, failed := entry.Info()
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		return errors.Join(err, failed)
	}))
	delete(all, "lock")
	return all
}

func TestABackupRestoresTheWholeStore(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	filled(t, from) // and it stays open, as a service that runs has it
	var archive bytes.Buffer
	n, err := Backup(from, &archive)
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	want := filesOf(t, from)
	delete(want, filepath.Join("connectors", "half.json.tmp"))

	all, err := Restore(to, bytes.NewReader(archive.Bytes()))
	require.NoError(t, err)
	assert.Equal(t, want, filesOf(t, to))
	assert.Len(t, all.Definitions, 2)
	assert.Len(t, all.Unreadable, 1)
	assert.Len(t, all.Sessions, 1)
	assert.Len(t, all.Released, 1)
	s := open(t, to)
	assert.Len(t, history(t, s, all.Definitions[1]), 1, "%s", all.Definitions[1].Connector.Name)
	assert.Equal(t, 2, create(t, s, "new").Revision, "revisions of what is gone are not used again")

	_, err = Restore(to, bytes.NewReader(archive.Bytes()))
	require.ErrorContains(t, err, "another service uses it")
	require.NoError(t, s.Close())
	before := filesOf(t, to)
	_, err = Restore(to, bytes.NewReader(archive.Bytes()))
	require.ErrorContains(t, err, "it has files in history already: give a new directory, or move that one away")
	assert.Equal(t, before, filesOf(t, to))
}

func TestAStoreOfTheFirstVersionIsBackedUpAsItIs(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	s := open(t, from)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "t")}))
	require.NoError(t, os.Mkdir(filepath.Join(from, oldRemovedDir), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(from, oldRemovedDir, "x.1.json"), conn(t, "x", "t").JSON(), 0o600))
	var archive bytes.Buffer
	_, err := Backup(from, &archive)
	require.NoError(t, err)
	started := open(t, to) // by a service, once
	require.NoError(t, started.Upgrade())
	require.NoError(t, started.Close())
	all, err := Restore(to, &archive)
	require.NoError(t, err)
	assert.Equal(t, 1, all.Version)
	require.Len(t, all.Released, 1)
	assert.True(t, all.Released[0].Old)
}

// What is cut off, changed or of another kind leaves nothing behind.
func TestAnArchiveThatIsNoneRestoresNothing(t *testing.T) {
	from := t.TempDir()
	filled(t, from)
	var archive bytes.Buffer
	_, err := Backup(from, &archive)
	require.NoError(t, err)
	whole := archive.Bytes()
	about := `{"format":"robustmq-connect store","version":1,"store":2}`
	made := func(entries ...string) io.Reader { // a name and its content by turns
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		out := tar.NewWriter(z)
		for i := 0; i < len(entries); i += 2 {
			require.NoError(t, out.WriteHeader(&tar.Header{Name: entries[i], Size: int64(len(entries[i+1])), Typeflag: tar.TypeReg, Mode: 0o777}))
			_, err := out.Write([]byte(entries[i+1]))
			require.NoError(t, err)
		}
		require.NoError(t, errors.Join(out.Close(), z.Close()))
		return &b
	}
	definition := string(conn(t, "c", "t").JSON())
	for name, test := range map[string]struct {
		in   io.Reader
		want string
	}{
		"nothing":        {strings.NewReader(""), "reading the archive: EOF"},
		"text":           {strings.NewReader("hello"), "reading the archive: "},
		"cut off":        {bytes.NewReader(whole[:len(whole)/2]), "reading the archive: unexpected EOF"},
		"cut at the end": {bytes.NewReader(whole[:len(whole)-4]), "reading the archive: unexpected EOF"},
		"a read error":   {io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(errors.New("it was changed"))), "reading the archive: it was changed"},
		"another tar":    {made("x", "y"), "it is no archive of a store"},
		"newer":          {made(archiveFile, `{"format":"robustmq-connect store","version":2,"store":2}`), "it is of a newer program (archive 2, store 2)"},
		"newer store":    {made(archiveFile, `{"format":"robustmq-connect store","version":1,"store":3}`), "it is of a newer program (archive 1, store 3)"},
		"outside":        {made(archiveFile, about, "connectors/c.json", definition, "../x", "y"), `it holds "../x", which is no file of a store`},
		"absolute":       {made(archiveFile, about, "/connectors/x", "y"), "is no file of a store"},
		"deeper":         {made(archiveFile, about, "connectors/a/../../../x", "y"), "is no file of a store"},
		"dots":           {made(archiveFile, about, "connectors/..", "y"), "is no file of a store"},
		"lock":           {made(archiveFile, about, "lock", "y"), "is no file of a store"},
	} {
		dir := filepath.Join(t.TempDir(), "store")
		_, err := Restore(dir, test.in)
		require.ErrorContains(t, err, test.want, name)
		assert.Empty(t, filesOf(t, dir), name)
		assert.NoDirExists(t, filepath.Join(dir, stagingDir), name)
		_, err = Restore(dir, bytes.NewReader(whole))
		require.NoError(t, err, name)
	}
}

// What a crash leaves is removed by the next try.
func TestARestoreThatWasInterruptedIsRepeated(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	filled(t, from)
	var archive bytes.Buffer
	_, err := Backup(from, &archive)
	require.NoError(t, err)
	staged := filepath.Join(to, stagingDir, connectorsDir)
	require.NoError(t, os.MkdirAll(staged, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(staged, "old.json"), []byte("{"), 0o600))
	s := open(t, to)
	assert.Empty(t, load(t, s).Unreadable, "it is no part of the store")
	require.NoError(t, s.Close())
	all, err := Restore(to, &archive)
	require.NoError(t, err)
	assert.Len(t, all.Definitions, 2)
	assert.NoFileExists(t, filepath.Join(to, connectorsDir, "old.json"))
}

func TestABackupOfAStoreThatChangesIsConsistent(t *testing.T) {
	from := t.TempDir()
	s := open(t, from)
	stop, done := make(chan struct{}), make(chan struct{})
	d := create(t, s, "c")
	first, other := string(d.Connector.JSON()), conn(t, "x", "t")
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			next := d
			next.Connector, _ = connector.Parse([]byte(strings.Replace(first, `"t1"`, fmt.Sprintf(`"t%d"`, d.Revision+1), 1)))
			d, _, _ = s.Revise(&d, next) // told by what is read below
			x, _ := s.Create(Definition{Connector: other})
			_, _ = s.Release(x)
		}
	}()
	for range 20 {
		var archive bytes.Buffer
		_, err := Backup(from, &archive)
		require.NoError(t, err)
		to := t.TempDir()
		all, err := Restore(to, &archive)
		require.NoError(t, err)
		assert.Empty(t, all.Unreadable)
		require.NotEmpty(t, all.Definitions)
		assert.Equal(t, fmt.Sprintf("t%d", all.Definitions[0].Revision), all.Definitions[0].Connector.Kafka.Topic)
		for _, r := range history(t, open(t, to), all.Definitions[0]) {
			assert.Less(t, r.Number, all.Definitions[0].Revision)
			assert.Equal(t, fmt.Sprintf("t%d", r.Number), r.Connector.Kafka.Topic)
		}
	}
	close(stop)
	<-done
}

func TestOnlyAStoreIsBackedUp(t *testing.T) {
	_, err := Backup(t.TempDir(), io.Discard)
	require.ErrorContains(t, err, "it is no store: name the directory of serve --store")
	dir := t.TempDir()
	open(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, versionFile), []byte(`{"version": 3}`), 0o600))
	_, err = Backup(dir, io.Discard)
	require.ErrorContains(t, err, "it is of version 3, and this program knows 2: use the newer program")
}
