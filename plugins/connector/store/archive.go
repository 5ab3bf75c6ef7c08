package store

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

type archiveJSON struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Store   int       `json:"store"` // the version of the store
	Time    time.Time `json:"time"`
}

// archiveWriter writes an archive.
type archiveWriter struct {
	compressed *gzip.Writer
	out        *tar.Writer
}

// newArchive begins an archive of a store of a version.
func newArchive(w io.Writer, version int) (*archiveWriter, error) {
	a := &archiveWriter{compressed: gzip.NewWriter(w)}
	a.out = tar.NewWriter(a.compressed)
	about, _ := json.Marshal(archiveJSON{archiveFormat, archiveVersion, version, time.Now().UTC()}) // texts and numbers
	return a, a.add(archiveFile, about)
}

func (a *archiveWriter) add(name string, data []byte) error {
	if len(data) > maxArchived {
		return fmt.Errorf("%s is over %d MiB long, which no file of a store is", name, maxArchived>>20)
	}
	if err := a.out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := a.out.Write(data)
	return err
}

func (a *archiveWriter) close() error { return errors.Join(a.out.Close(), a.compressed.Close()) }

// readArchive calls take for each file of an archive, and returns what it is. The error
// says if a part is missing: take has then been called for the rest.
func readArchive(r io.Reader, take func(name string, data []byte) error) (archiveJSON, error) {
	compressed, err := gzip.NewReader(r)
	if err != nil {
		return archiveJSON{}, noArchive(err)
	}
	in := tar.NewReader(compressed)
	about, err := readAbout(in)
	for err == nil {
		var header *tar.Header
		if header, err = in.Next(); errors.Is(err, io.EOF) {
			err = nil
			break
		}
		if err != nil {
			return about, noArchive(err)
		}
		if !isArchived(header) {
			return about, noArchive(fmt.Errorf("it holds %q, which is no file of a store", header.Name))
		}
		var data []byte
		if data, err = io.ReadAll(in); err != nil {
			return about, noArchive(err)
		}
		err = take(header.Name, data)
	}
	if err != nil {
		return about, err
	}
	// What follows must be read as well: only then is it known that nothing is cut off.
	if _, err := io.Copy(io.Discard, compressed); err != nil {
		return about, noArchive(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return about, noArchive(err)
	}
	return about, nil
}

func noArchive(err error) error { return fmt.Errorf("reading the archive: %w", err) }

func readAbout(in *tar.Reader) (archiveJSON, error) {
	var about archiveJSON
	header, err := in.Next()
	if err == nil && header.Name == archiveFile {
		err = json.NewDecoder(io.LimitReader(in, maxArchived)).Decode(&about)
	}
	switch {
	case err != nil:
		return about, noArchive(err)
	case about.Format != archiveFormat:
		return about, noArchive(errors.New("it is no archive of a store"))
	case about.Version > archiveVersion || about.Store > Version:
		return about, noArchive(fmt.Errorf("it is of a newer program (archive %d, store %d): restore it with that one", about.Version, about.Store))
	}
	return about, nil
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
