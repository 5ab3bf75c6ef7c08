package store

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// maxWhole limits what ReadArchive takes into memory.
const maxWhole = 512 << 20

// Archive writes an archive as Backup does, of a store that is not a directory.
func (w Whole) Archive(out io.Writer) error {
	archive, err := newArchive(out, Version)
	if err == nil {
		err = w.files(func(sub, name string, data []byte) error { return archive.add(path.Join(sub, name), data) })
	}
	if err == nil && w.Gone > 0 {
		err = archive.add(revisionFile, encodeRevision(w.Gone))
	}
	if err == nil {
		err = archive.add(versionFile, encodeVersion())
	}
	if err = errors.Join(err, archive.close()); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}

// ReadArchive reads an archive for a store that is not a directory. What cannot be read
// is part of the result as in Load; the error means that the archive is not whole, or
// that such a store cannot hold it. Files that were set aside are not part of the result.
func ReadArchive(r io.Reader) (Whole, error) {
	files, size := map[string][]byte{}, 0
	about, err := readArchive(r, func(name string, data []byte) error {
		if size += len(data); size > maxWhole {
			return fmt.Errorf("the archive holds more than %d MiB: restore it into a directory", maxWhole>>20)
		}
		files[name] = data
		return nil
	})
	if err != nil {
		return Whole{}, err
	}
	if about.Store < Version {
		return Whole{}, fmt.Errorf("the archive is of a store of version %d, which does not know all sessions: restore it into a directory, start a service with that once, and copy it", about.Store)
	}
	w := Whole{Contents: Contents{Version: about.Store}, Past: map[string]Past{}}
	if w.Gone, err = decodeNumber(files[revisionFile], "revision", 1, aRevision); err != nil {
		return Whole{}, fmt.Errorf("%s: %w", revisionFile, err)
	}
	for name, data := range files {
		if err := w.read(name, data, files); err != nil {
			return Whole{}, err
		}
	}
	w.sort()
	return w, nil
}

// read takes one file of an archive in. The error is about the history of a connector.
func (w *Whole) read(name string, data []byte, files map[string][]byte) error {
	sub, base := path.Split(name)
	var err error
	switch sub = strings.TrimSuffix(sub, "/"); sub {
	case connectorsDir:
		var d Definition
		if d, err = Decode(data); err != nil {
			break
		}
		connector := d.Connector.Name
		if fileName(connector) != base {
			err = misplaced(connector)
			break
		}
		var past Past
		if text, has := files[path.Join(historyDir, base)]; has {
			if past, err = ReadPast(text); err != nil {
				return fmt.Errorf("reading the history of connector %q: %w", connector, err)
			}
		}
		if d.Revision < 1 {
			d.Revision = unknownRevision(past, w.Gone)
		}
		w.Definitions = append(w.Definitions, d)
		w.Past[connector] = past.Before(d.Revision)
	case sessionsDir:
		var session Session
		if session, err = decodeSession(data); err == nil {
			w.Sessions = append(w.Sessions, session)
		}
	case releasedDir, oldRemovedDir:
		var d Definition
		if d, err = Decode(data); err == nil {
			w.Released = append(w.Released, Released{d, sub == oldRemovedDir, name})
		}
	}
	if err != nil {
		w.Unreadable = append(w.Unreadable, Unreadable{File: name, Why: err})
	}
	return nil
}

func (w *Whole) sort() {
	slices.SortFunc(w.Definitions, func(a, b Definition) int { return strings.Compare(a.Connector.Name, b.Connector.Name) })
	slices.SortFunc(w.Released, func(a, b Released) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(w.Unreadable, func(a, b Unreadable) int { return strings.Compare(a.File, b.File) })
}
