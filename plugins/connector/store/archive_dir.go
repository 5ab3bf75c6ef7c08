package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// restoredDirs are what Restore puts in place, in its order. A crash in between leaves
// connectors whose sessions nobody has made, so that none is removed.
var restoredDirs = []string{historyDir, connectorsDir, sessionsDir, releasedDir, oldRemovedDir, setAsideDir}

const stagingDir = "restoring"

// MustBe returns an error if a directory is no store.
func MustBe(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, connectorsDir)); err != nil {
		return errors.New("it is no store: name the directory of serve --store")
	}
	return nil
}

// Backup writes an archive of the store in a directory, also while a service uses it,
// and returns how many connectors it holds.
func Backup(dir string, w io.Writer) (connectors int, err error) {
	fail := func(err error) (int, error) { return 0, fmt.Errorf("backing up the store %s: %w", dir, err) }
	if err := MustBe(dir); err != nil {
		return fail(err)
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
	archive, err := newArchive(w, version)
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
				err = archive.add(path.Join(sub, entry.Name()), data)
			}
			if sub == connectorsDir && strings.HasSuffix(entry.Name(), suffix) {
				connectors++
			}
		}
	}
	for _, name := range []string{revisionFile, versionFile} {
		data, missing := os.ReadFile(filepath.Join(dir, name))
		if missing == nil && err == nil {
			err = archive.add(name, data)
		}
	}
	if err = errors.Join(err, archive.close()); err != nil {
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
	dirs := map[string]bool{staging: true}
	_, err := readArchive(r, func(name string, data []byte) error {
		file := filepath.Join(staging, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		dirs[filepath.Dir(file)] = true
		return writeSynced(file, data)
	})
	if err != nil {
		return err
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
