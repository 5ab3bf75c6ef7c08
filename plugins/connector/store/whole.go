package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Whole is all that a store holds, to be moved to another one.
type Whole struct {
	Contents
	Past map[string]Past // former definitions, by connector
	Gone int             // the greatest revision of connectors that are gone
}

// Whole implements Store.
func (s *Dir) Whole() (Whole, error) {
	all, err := s.Load()
	if err != nil {
		return Whole{}, err
	}
	w := Whole{Contents: all, Past: map[string]Past{}}
	if w.Gone, err = s.readGone(); err != nil {
		return Whole{}, fmt.Errorf("reading the store: %w", err)
	}
	for _, d := range all.Definitions {
		name := d.Connector.Name
		if w.Past[name], err = s.past(name, d.Revision); err != nil {
			return Whole{}, fmt.Errorf("reading the history of connector %q: %w", name, err)
		}
	}
	return w, nil
}

// Fill implements Store. A crash in between leaves a part of it.
func (s *Dir) Fill(w Whole) error {
	for _, sub := range []string{connectorsDir, historyDir, sessionsDir, releasedDir, oldRemovedDir} {
		if err := empty(filepath.Join(s.dir, sub)); err != nil {
			return fmt.Errorf("emptying the store: %w", err)
		}
	}
	if err := s.retire(w.Gone); err != nil {
		return fmt.Errorf("writing the store: %w", err)
	}
	err := w.files(func(sub, name string, data []byte) error {
		return write(filepath.Join(s.dir, sub, name), data)
	})
	if err != nil {
		return fmt.Errorf("writing the store: %w", err)
	}
	return s.Upgrade()
}

// files calls add for the files that a directory has of all connectors and sessions. A
// crash in between leaves connectors with their histories, whose sessions are known.
func (w Whole) files(add func(sub, name string, data []byte) error) error {
	for i, r := range w.Released {
		data, err := Encode(r.Definition)
		if err == nil {
			err = add(releasedDir, stamped(fmt.Sprintf("%d-%s", i, fileName(r.Connector.Name))), data)
		}
		if err != nil {
			return err
		}
	}
	for _, one := range w.Sessions {
		data, err := encodeSession(one)
		if err == nil {
			err = add(sessionsDir, sessionFileName(one.Endpoint, one.ClientID), data)
		}
		if err != nil {
			return fmt.Errorf("session %q: %w", one.ClientID, err)
		}
	}
	for _, d := range w.Definitions {
		name := fileName(d.Connector.Name)
		data, err := w.Past[d.Connector.Name].Encode()
		if err == nil {
			err = add(historyDir, name, data)
		}
		if err == nil {
			data, err = Encode(d)
		}
		if err == nil {
			err = add(connectorsDir, name, data)
		}
		if err != nil {
			return fmt.Errorf("connector %q: %w", d.Connector.Name, err)
		}
	}
	return nil
}

// empty removes the files of a directory, which may not exist.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(dir, entry.Name())))
	}
	return err
}
