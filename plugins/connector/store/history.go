package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// The file of a connector's former definitions does not have the current one, which is
// only in its own file, so that a crash cannot leave the two inconsistent. The history is
// written first; entries for the current or later revisions were never confirmed.

// Create writes the first definition of a connector, and returns it with its revision.
// Two connectors that use a name one after the other have no revision in common, so
// that a user who has read one cannot change the other by mistake.
func (s *Dir) Create(d Definition) (Definition, error) {
	// A crash may have left the history of another connector.
	if err := remove(s.historyFile(d.Connector.Name)); err != nil {
		return d, fmt.Errorf("storing connector %q: %w", d.Connector.Name, err)
	}
	s.mu.Lock()
	d.Revision = s.gone + 1
	s.mu.Unlock()
	return d, s.Put(d)
}

// Revise writes a definition as the next revision of a connector and adds the one
// before to its history, without secrets. before is nil if it cannot be read. If the
// history cannot be read, it is moved to aside, and a new one starts.
func (s *Dir) Revise(before *Definition, d Definition) (revised Definition, aside string, err error) {
	name := d.Connector.Name
	fail := func(err error) (Definition, string, error) {
		return d, aside, fmt.Errorf("storing connector %q: %w", name, err)
	}
	if before == nil {
		d.Revision = s.unknownRevision(name) + 1
		return d, "", s.Put(d)
	}
	d.Revision = before.Revision + 1
	past, err := s.past(name, before.Revision)
	if err != nil {
		aside = filepath.Join(s.dir, setAsideDir, "history-"+stamped(fileName(name)))
		if err := move(s.historyFile(name), aside); err != nil {
			return fail(err)
		}
	}
	data, err := past.With(*before).Encode()
	if err == nil {
		err = write(s.historyFile(name), data)
	}
	if err != nil {
		return fail(err)
	}
	return d, aside, s.Put(d)
}

// History returns the connector's former definitions, latest first. If the current one
// cannot be read, these are all.
func (s *Dir) History(d Definition) ([]connector.Revision, error) {
	past, err := s.past(d.Connector.Name, cmp.Or(d.Revision, anyRevision))
	if err != nil {
		return nil, fmt.Errorf("reading the history of connector %q: %w", d.Connector.Name, err)
	}
	return past.Revisions(), nil
}

// past returns the revisions before one.
func (s *Dir) past(name string, before int) (Past, error) {
	data, err := os.ReadFile(s.historyFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Past{}, nil
	}
	var p Past
	if err == nil {
		p, err = ReadPast(data)
	}
	if err != nil {
		return Past{}, err
	}
	return p.Before(before), nil
}

// unknownRevision returns a revision for a definition without one, which earlier
// programs write: greater than any that the connector can have had.
func (s *Dir) unknownRevision(name string) int {
	past, _ := s.past(name, anyRevision) // empty after an error
	s.mu.Lock()
	defer s.mu.Unlock()
	return unknownRevision(past, s.gone)
}

func unknownRevision(past Past, gone int) int {
	if past.Last() == 0 {
		return gone + 1
	}
	// The one after the last was that of the unreadable definition.
	return past.Last() + 2
}

// retire records the revision of a removed connector: one that is created later has a
// greater revision.
func (s *Dir) retire(revision int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= s.gone {
		return nil
	}
	if err := write(filepath.Join(s.dir, revisionFile), encodeRevision(revision)); err != nil {
		return err
	}
	s.gone = revision
	return nil
}

func (s *Dir) readGone() (int, error) {
	return s.number(revisionFile, "revision", 1, aRevision)
}

const aRevision = `a revision, such as {"revision": 7}`

func encodeRevision(revision int) []byte { return fmt.Appendf(nil, "{\"revision\": %d}\n", revision) }

func (s *Dir) historyFile(name string) string {
	return filepath.Join(s.dir, historyDir, fileName(name))
}
