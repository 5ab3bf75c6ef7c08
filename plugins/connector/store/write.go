package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Upgrade sets the version of the store to this one. A newer store keeps its own.
func (s *Dir) Upgrade() error {
	if now, err := s.version(); err != nil || now >= Version {
		return nil // Load reports one that cannot be read
	}
	if err := write(filepath.Join(s.dir, versionFile), encodeVersion()); err != nil {
		return fmt.Errorf("writing the version of the store: %w", err)
	}
	return nil
}

func encodeVersion() []byte { return fmt.Appendf(nil, "{\"version\": %d}\n", Version) }

// Put writes a definition in place of the current one of that name, if any, with the
// same revision. It returns when the write outlives a crash.
func (s *Dir) Put(d Definition) error {
	data, err := Encode(d)
	if err == nil {
		err = write(filepath.Join(s.dir, connectorsDir, fileName(d.Connector.Name)), data)
	}
	if err != nil {
		return fmt.Errorf("storing connector %q: %w", d.Connector.Name, err)
	}
	return nil
}

// Release removes a connector in one step and keeps what is needed to remove its
// sessions.
func (s *Dir) Release(d Definition) (Released, error) {
	if err := s.retire(d.Revision); err != nil {
		return Released{}, fmt.Errorf("removing connector %q: %w", d.Connector.Name, err)
	}
	name := fileName(d.Connector.Name)
	to := filepath.Join(s.dir, releasedDir, stamped(name))
	err := move(filepath.Join(s.dir, connectorsDir, name), to)
	released := Released{Definition: d, ID: to}
	if errors.Is(err, fs.ErrNotExist) {
		// Somebody has removed the file; its contents are known.
		released, err = s.Mark(d)
	}
	if err != nil {
		return Released{}, fmt.Errorf("removing connector %q: %w", d.Connector.Name, err)
	}
	_ = remove(s.historyFile(d.Connector.Name)) // if it remains, Create removes it
	return released, nil
}

// Mark keeps what is needed to remove the sessions that a connector had before it was
// changed.
func (s *Dir) Mark(d Definition) (Released, error) {
	r := Released{Definition: d, ID: filepath.Join(s.dir, releasedDir, stamped(fileName(d.Connector.Name)))}
	data, err := Encode(d)
	if err == nil {
		err = write(r.ID, data)
	}
	if err != nil {
		return Released{}, fmt.Errorf("marking the sessions of connector %q: %w", d.Connector.Name, err)
	}
	return r, nil
}

// Forget removes what Release or Mark kept. It may be removed already.
func (s *Dir) Forget(r Released) error {
	if err := remove(r.ID); err != nil {
		return fmt.Errorf("dropping the mark of connector %q: %w", r.Connector.Name, err)
	}
	return nil
}

// PutSession records a session.
func (s *Dir) PutSession(one Session) error {
	data, err := encodeSession(one)
	if err == nil {
		err = write(s.sessionFile(one.Endpoint, one.ClientID), data)
	}
	if err != nil {
		return fmt.Errorf("storing the session %q: %w", one.ClientID, err)
	}
	return nil
}

// DropSession removes the record of a session.
func (s *Dir) DropSession(endpoint, clientID string) error {
	if err := remove(s.sessionFile(endpoint, clientID)); err != nil {
		return fmt.Errorf("dropping the session %q: %w", clientID, err)
	}
	return nil
}

func (s *Dir) sessionFile(endpoint, clientID string) string {
	return filepath.Join(s.dir, sessionsDir, sessionFileName(endpoint, clientID))
}

func sessionFileName(endpoint, clientID string) string {
	sum := sha256.Sum256([]byte(endpoint + "\x00" + clientID))
	return fmt.Sprintf("%x%s", sum[:16], suffix)
}

func remove(file string) error {
	err := os.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(filepath.Dir(file))
	}
	return err
}

// write writes data into a temporary file, and then renames it.
func write(file string, data []byte) error {
	tmp := file + tmpSuffix
	err := writeSynced(tmp, data)
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		_ = os.Remove(tmp) // the first error is reported
		return err
	}
	return syncDir(filepath.Dir(file))
}

func writeSynced(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(from)))
}

// syncDir makes the names in a directory outlive a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

// fileName returns a name that is valid on every file system, including
// case-insensitive ones, and unique to the connector.
func fileName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(name))
	if plain == name && len(name) <= 100 {
		return name + suffix
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%.64s~%x%s", plain, sum[:8], suffix)
}

// stamped makes files of one name unique.
func stamped(file string) string {
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(file, suffix), time.Now().UnixNano(), suffix)
}
