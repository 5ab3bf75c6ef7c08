package store

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An archive is a gzipped tar of the files of a store. Its first file says what it is:
// a program that does not know it does not touch a store with it.
const (
	archiveFile    = "archive"
	archiveFormat  = "robustmq-connect store"
	archiveVersion = 1
	// maxArchived bounds a file of a store, ten times what the longest has.
	maxArchived = 4 << 20
)

// archivedDirs are what Backup reads, in its order. A service may change the store
// meanwhile: each file is whole, and where two of them belong together, the later read
// may be ahead, which Load can tell. A session without its connector says nothing;
// a connector without its session would look as if others had made that.
var archivedDirs = []string{sessionsDir, releasedDir, oldRemovedDir, connectorsDir, historyDir, setAsideDir}

// restoredDirs are what Restore puts in place, in its order. A crash in between leaves
// connectors whose sessions nobody has made, so that none is removed.
var restoredDirs = []string{historyDir, connectorsDir, sessionsDir, releasedDir, oldRemovedDir, setAsideDir}

const stagingDir = "restoring"

type archiveJSON struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Store   int       `json:"store"` // the version of the store
	Time    time.Time `json:"time"`
}

// Backup writes an archive of the store in a directory, also while a service uses it,
// and returns how many connectors it holds.
func Backup(dir string, w io.Writer) (connectors int, err error) {
	fail := func(err error) (int, error) { return 0, fmt.Errorf("backing up the store %s: %w", dir, err) }
	if _, err := os.Stat(filepath.Join(dir, connectorsDir)); err != nil {
		return fail(errors.New("it is no store: name the directory of serve --store"))
	}
	version, err := (&Dir{dir: dir}).version()
	switch {
	case err != nil:
		return fail(err)
	case version == 0:
		version = 1
	case version > Version:
		return fail(fmt.Errorf("it is of version %d, and this program knows %d: use the newer program", version, Version))
	}
	compressed := gzip.NewWriter(w)
	out := tar.NewWriter(compressed)
	add := func(name string, data []byte) error {
		if len(data) > maxArchived {
			return fmt.Errorf("%s is over %d MiB long, which no file of a store is", name, maxArchived>>20)
		}
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err := out.Write(data)
		return err
	}
	about, _ := json.Marshal(archiveJSON{archiveFormat, archiveVersion, version, time.Now().UTC()}) // texts and numbers
	err = add(archiveFile, about)
	for _, sub := range archivedDirs {
		entries, missing := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(missing, fs.ErrNotExist) {
			continue // another version of the store has it
		}
		err = errors.Join(err, missing)
		for _, entry := range entries {
			if err != nil || entry.IsDir() || strings.HasSuffix(entry.Name(), tmpSuffix) {
				continue
			}
			data, gone := os.ReadFile(filepath.Join(dir, sub, entry.Name()))
			if errors.Is(gone, fs.ErrNotExist) {
				continue // it was removed meanwhile
			}
			if err = errors.Join(gone); err == nil {
				err = add(path.Join(sub, entry.Name()), data)
			}
			if sub == connectorsDir && strings.HasSuffix(entry.Name(), suffix) {
				connectors++
			}
		}
	}
	for _, name := range []string{revisionFile, versionFile} {
		data, missing := os.ReadFile(filepath.Join(dir, name))
		if missing == nil && err == nil {
			err = add(name, data)
		}
	}
	if err = errors.Join(err, out.Close(), compressed.Close()); err != nil {
		return fail(err)
	}
	return connectors, nil
}

// Restore fills a store that is empty with the connectors of an archive, and says what
// it holds then. After an error or a crash it holds all connectors or none; a crash
// between the last steps leaves out who made their sessions.
func Restore(dir string, r io.Reader) (all Contents, err error) {
	s, err := Open(dir)
	if err != nil {
		return Contents{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fail := func(err error) (Contents, error) {
		return Contents{}, errors.Join(fmt.Errorf("restoring the store %s: %w", dir, err), os.RemoveAll(filepath.Join(s.dir, stagingDir)))
	}
	for _, sub := range restoredDirs {
		entries, err := os.ReadDir(filepath.Join(s.dir, sub))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fail(err)
		case len(entries) > 0:
			return fail(fmt.Errorf("it has files in %s already: give a new directory, or move that one away", sub))
		}
	}
	if err := s.stage(r); err != nil {
		return fail(err)
	}
	// The first version of the store has no such file.
	if err := remove(filepath.Join(s.dir, versionFile)); err != nil {
		return fail(err)
	}
	for _, name := range []string{revisionFile, versionFile} {
		if err := os.Rename(filepath.Join(s.dir, stagingDir, name), filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail(err)
		}
	}
	for _, sub := range restoredDirs {
		staged, place := filepath.Join(s.dir, stagingDir, sub), filepath.Join(s.dir, sub)
		if _, err := os.Stat(staged); errors.Is(err, fs.ErrNotExist) {
			continue // the archive has nothing for it
		}
		if err := remove(place); err != nil { // it is empty
			return fail(err)
		}
		if err := os.Rename(staged, place); err != nil {
			return fail(err)
		}
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(s.dir, stagingDir)), syncDir(s.dir)); err != nil {
		return Contents{}, fmt.Errorf("restoring the store %s: %w", dir, err)
	}
	return s.Load()
}

// stage writes the files of an archive beside the store.
func (s *Dir) stage(r io.Reader) error {
	staging := filepath.Join(s.dir, stagingDir)
	if err := os.RemoveAll(staging); err != nil { // of a crash
		return err
	}
	compressed, err := gzip.NewReader(r)
	if err != nil {
		return noArchive(err)
	}
	in := tar.NewReader(compressed)
	if err := readAbout(in); err != nil {
		return err
	}
	dirs := map[string]bool{staging: true}
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return noArchive(err)
		}
		if !isArchived(header) {
			return noArchive(fmt.Errorf("it holds %q, which is no file of a store", header.Name))
		}
		file := filepath.Join(staging, filepath.FromSlash(header.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		dirs[filepath.Dir(file)] = true
		data, err := io.ReadAll(in)
		if err != nil {
			return noArchive(err)
		}
		if err := writeSynced(file, data); err != nil {
			return err
		}
	}
	// What follows must be read as well: only then is it known that nothing is cut off.
	if _, err := io.Copy(io.Discard, compressed); err != nil {
		return noArchive(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return noArchive(err)
	}
	if err := os.MkdirAll(staging, 0o700); err != nil {
		return err
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func noArchive(err error) error { return fmt.Errorf("reading the archive: %w", err) }

func readAbout(in *tar.Reader) error {
	var about archiveJSON
	header, err := in.Next()
	if err == nil && header.Name == archiveFile {
		err = json.NewDecoder(io.LimitReader(in, maxArchived)).Decode(&about)
	}
	switch {
	case err != nil:
		return noArchive(err)
	case about.Format != archiveFormat:
		return noArchive(errors.New("it is no archive of a store"))
	case about.Version > archiveVersion || about.Store > Version:
		return noArchive(fmt.Errorf("it is of a newer program (archive %d, store %d): restore it with that one", about.Version, about.Store))
	}
	return nil
}

// isArchived tells a file that Backup writes from any other, which might lead out of
// the store.
func isArchived(h *tar.Header) bool {
	if h.Typeflag != tar.TypeReg || h.Size > maxArchived {
		return false
	}
	sub, name := path.Split(h.Name)
	if sub == "" {
		return name == revisionFile || name == versionFile
	}
	return slices.Contains(archivedDirs, strings.TrimSuffix(sub, "/")) && filepath.IsLocal(name) && name == filepath.Base(name)
}
