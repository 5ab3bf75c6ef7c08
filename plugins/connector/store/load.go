package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Load reads everything. A file that cannot be read is reported and stays where it is;
// the error means that the directory itself cannot be read.
func (s *Dir) Load() (Contents, error) {
	all := Contents{At: time.Now()}
	if err := s.loadConnectors(&all); err != nil {
		return Contents{}, err
	}
	err := s.each(sessionsDir, &all.Ignored, func(_ string, data []byte) error {
		session, err := decodeSession(data)
		if err == nil {
			all.Sessions = append(all.Sessions, session)
		}
		return err
	})
	for _, dir := range []string{releasedDir, oldRemovedDir} {
		err = errors.Join(err, s.each(dir, &all.Ignored, func(file string, data []byte) error {
			d, err := Decode(data)
			if err == nil {
				all.Released = append(all.Released, Released{d, dir == oldRemovedDir, file})
			}
			return err
		}))
	}
	if err != nil {
		return Contents{}, err
	}
	if _, err := s.readGone(); err != nil {
		all.Ignored = append(all.Ignored, Unreadable{File: filepath.Join(s.dir, revisionFile), Why: err})
	}
	all.Version, err = s.version()
	switch {
	case err != nil:
		all.Version = Version // 1 has no such file
		all.Ignored = append(all.Ignored, Unreadable{File: filepath.Join(s.dir, versionFile), Why: err})
	case all.Version == 0 && len(all.Definitions)+len(all.Unreadable)+len(all.Released) > 0:
		all.Version = 1
	case all.Version == 0:
		all.Version = Version
	}
	return all, nil
}

func (s *Dir) loadConnectors(all *Contents) error {
	var bad []Unreadable
	err := s.each(connectorsDir, &bad, func(file string, data []byte) error {
		d, err := s.definition(file, data)
		if err == nil {
			all.Definitions = append(all.Definitions, d)
		}
		return err
	})
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, d := range all.Definitions {
		taken[d.Connector.Name] = true
	}
	for _, u := range bad {
		base := filepath.Base(u.File)
		if !strings.HasSuffix(base, suffix) {
			u.Why = fmt.Errorf("it is not a connector: its name does not end in %s", suffix)
			all.Ignored = append(all.Ignored, u)
			continue
		}
		// A file with another name, for example a copy, is reported by its own name.
		data, _ := os.ReadFile(u.File) // that it cannot be read is known
		if u.Name, u.ClientID = Guess(data); fileName(u.Name) != base {
			u.Name = strings.TrimSuffix(base, suffix)
		}
		for taken[u.Name] {
			u.Name += "~"
		}
		taken[u.Name] = true
		all.Unreadable = append(all.Unreadable, u)
	}
	slices.SortFunc(all.Definitions, func(a, b Definition) int { return strings.Compare(a.Connector.Name, b.Connector.Name) })
	slices.SortFunc(all.Unreadable, func(a, b Unreadable) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func (s *Dir) definition(file string, data []byte) (Definition, error) {
	d, err := Decode(data)
	if err == nil && fileName(d.Connector.Name) != filepath.Base(file) {
		err = misplaced(d.Connector.Name)
	}
	if err == nil && d.Revision < 1 {
		d.Revision = s.unknownRevision(d.Connector.Name)
	}
	return d, err
}

func misplaced(name string) error {
	return fmt.Errorf("it holds connector %q, which belongs in %s", name, fileName(name))
}

// Retry reads a definition again that could not be read.
func (s *Dir) Retry(u Unreadable) (Definition, error) {
	data, err := os.ReadFile(u.File)
	if err != nil {
		return Definition{}, err
	}
	return s.definition(u.File, data)
}

// SetAside moves a definition that could not be read, and returns its new path.
func (s *Dir) SetAside(u Unreadable) (string, error) {
	aside := filepath.Join(s.dir, setAsideDir, stamped(filepath.Base(u.File)))
	if err := move(u.File, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("setting %s aside: %w", u.File, err)
	}
	return aside, nil
}

// Discard removes the connector of such a definition, and returns the new path of the
// definition.
func (s *Dir) Discard(u Unreadable) (string, error) {
	if err := s.retire(s.unknownRevision(u.Name)); err != nil {
		return "", fmt.Errorf("setting %s aside: %w", u.File, err)
	}
	aside, err := s.SetAside(u)
	if err == nil {
		err = remove(s.historyFile(u.Name))
	}
	return aside, err
}

// each reads the files of a directory. It removes half-written files that a crash left:
// their write was never confirmed.
func (s *Dir) each(sub string, bad *[]Unreadable, read func(file string, data []byte) error) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, sub))
	if sub == oldRemovedDir && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	for _, entry := range entries {
		file := filepath.Join(s.dir, sub, entry.Name())
		if strings.HasSuffix(entry.Name(), tmpSuffix) {
			if err := os.Remove(file); err != nil {
				return fmt.Errorf("reading the store: %w", err)
			}
			continue
		}
		data, err := os.ReadFile(file)
		if err == nil {
			err = read(file, data)
		}
		if err != nil {
			*bad = append(*bad, Unreadable{File: file, Why: err})
		}
	}
	return nil
}

// version returns the version of the store, 0 if it has none.
func (s *Dir) version() (int, error) {
	return s.number(versionFile, "version", 2, `the version of a store, such as {"version": 2}`)
}

// number returns the number in a file that holds one alone, 0 if there is no file. The
// error says that it is not what it must be.
func (s *Dir) number(file, field string, least int, what string) (int, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return decodeNumber(data, field, least, what)
}

// decodeNumber returns the number in the text of such a file, 0 if it is nil.
func decodeNumber(data []byte, field string, least int, what string) (int, error) {
	if data == nil {
		return 0, nil
	}
	var fields map[string]json.RawMessage
	var n int
	if json.Unmarshal(data, &fields) != nil || json.Unmarshal(fields[field], &n) != nil || n < least {
		return 0, fmt.Errorf("%.100q is not %s", data, what)
	}
	return n, nil
}
