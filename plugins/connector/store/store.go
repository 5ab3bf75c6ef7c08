// Package store keeps the definitions of connectors in files, one a connector,
// so that each is whole whenever the process or the machine stops: as it was
// before a change or as it is after.
//
//	DIR/lock            held while a service uses the directory
//	DIR/connectors/     a definition each
//	DIR/removed/        connectors whose session on the MQTT broker remains
//	DIR/unreadable/     files that could not be read
package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

const (
	connectorsDir = "connectors"
	removedDir    = "removed"
	unreadableDir = "unreadable"
	suffix        = ".json"
	tmpSuffix     = ".tmp"
)

// Definition is a connector as it is stored.
type Definition struct {
	// Connector has its times as time.RFC3339Nano, and Stop for its status while it
	// is paused.
	Connector connector.Connector
	// Before must be done on the MQTT broker before the connector starts.
	Before Chores
}

// Chores are what a session on the MQTT broker still has from an earlier life.
type Chores struct {
	// ForgetSession: the session is that of a connector that was deleted.
	ForgetSession bool `json:"forget_session,omitempty"`
	// Unsubscribe: filters that the connector no longer reads from.
	Unsubscribe []string `json:"unsubscribe,omitempty"`
}

// Any tells whether there is something to do.
func (c Chores) Any() bool { return c.ForgetSession || len(c.Unsubscribe) > 0 }

// Removed is a connector that is gone, but for its session on the MQTT broker.
type Removed struct {
	Connector connector.Connector
	file      string
}

// Is tells whether two marks are the same.
func (r Removed) Is(o Removed) bool { return r.file == o.file }

// Unreadable is a file that Load has set aside.
type Unreadable struct {
	File  string // where it was
	Aside string // where it is now, or File where it could not be moved
	Why   error
}

// Contents is what Load finds.
type Contents struct {
	Definitions []Definition // by name
	Removed     []Removed
	Unreadable  []Unreadable
}

// Store is a directory of definitions. Its methods may be called from any
// goroutine, but for one name by one at a time.
type Store struct {
	dir  string
	lock *flock.Flock
}

// Open takes a directory for this process alone and makes it where it does not
// exist. The lock goes with the process, however that ends.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	for _, sub := range []string{connectorsDir, removedDir, unreadableDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("opening the store: %w", err)
		}
	}
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("opening the store %s: locking it: %w", dir, err)
	}
	if !got {
		return nil, fmt.Errorf("opening the store %s: another service uses it: stop that one, or give this one a directory of its own", dir)
	}
	return &Store{dir: dir, lock: lock}, nil
}

// Close gives the directory free.
func (s *Store) Close() error { return s.lock.Close() }

// Load reads everything. A file that cannot be read is set aside and told; the
// error says that the directory itself cannot be read.
func (s *Store) Load() (Contents, error) {
	var all Contents
	err := s.each(connectorsDir, func(file string, data []byte) error {
		d, err := decode(data)
		if err == nil && fileName(d.Connector.Name) != filepath.Base(file) {
			err = fmt.Errorf("it holds connector %q, which belongs in %s", d.Connector.Name, fileName(d.Connector.Name))
		}
		if err == nil {
			all.Definitions = append(all.Definitions, d)
		}
		return err
	}, &all.Unreadable)
	if err != nil {
		return Contents{}, err
	}
	err = s.each(removedDir, func(file string, data []byte) error {
		d, err := decode(data)
		if err == nil {
			all.Removed = append(all.Removed, Removed{Connector: d.Connector, file: file})
		}
		return err
	}, &all.Unreadable)
	if err != nil {
		return Contents{}, err
	}
	slices.SortFunc(all.Definitions, func(a, b Definition) int { return strings.Compare(a.Connector.Name, b.Connector.Name) })
	return all, nil
}

// each reads the files of a directory. What a crash left half-written was never
// answered for, and goes.
func (s *Store) each(sub string, read func(file string, data []byte) error, bad *[]Unreadable) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, sub))
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
			*bad = append(*bad, s.setAside(file, err))
		}
	}
	return nil
}

func (s *Store) setAside(file string, why error) Unreadable {
	aside := filepath.Join(s.dir, unreadableDir, stamped(filepath.Base(file)))
	if err := s.move(file, aside); err != nil {
		return Unreadable{File: file, Aside: file, Why: errors.Join(why, err)}
	}
	return Unreadable{File: file, Aside: aside, Why: why}
}

// Put writes a definition in the place of the one of that name, if any. It
// returns once that outlives a crash.
func (s *Store) Put(d Definition) error {
	data, err := encode(d)
	if err == nil {
		err = s.write(filepath.Join(s.dir, connectorsDir, fileName(d.Connector.Name)), data)
	}
	if err != nil {
		return fmt.Errorf("storing connector %q: %w", d.Connector.Name, err)
	}
	return nil
}

// Remove takes a connector out in one step, and marks that its session remains.
func (s *Store) Remove(c connector.Connector) (Removed, error) {
	name := fileName(c.Name)
	to := filepath.Join(s.dir, removedDir, stamped(name))
	if err := s.move(filepath.Join(s.dir, connectorsDir, name), to); err != nil {
		return Removed{}, fmt.Errorf("removing connector %q: %w", c.Name, err)
	}
	return Removed{Connector: c, file: to}, nil
}

// Mark notes that a session remains which c had before it was changed.
func (s *Store) Mark(c connector.Connector) (Removed, error) {
	r := Removed{Connector: c, file: filepath.Join(s.dir, removedDir, stamped(fileName(c.Name)))}
	data, err := encode(Definition{Connector: c})
	if err == nil {
		err = s.write(r.file, data)
	}
	if err != nil {
		return Removed{}, fmt.Errorf("marking the session of connector %q: %w", c.Name, err)
	}
	return r, nil
}

// Forget drops a mark: the session is gone.
func (s *Store) Forget(r Removed) error {
	err := os.Remove(r.file)
	if err == nil {
		err = syncDir(filepath.Dir(r.file))
	}
	if err != nil {
		return fmt.Errorf("dropping the mark of connector %q: %w", r.Connector.Name, err)
	}
	return nil
}

// write puts data beside the file, and then in its place.
func (s *Store) write(file string, data []byte) error {
	tmp := file + tmpSuffix
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
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
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		_ = os.Remove(tmp) // the first error is the one to tell
		return err
	}
	return syncDir(filepath.Dir(file))
}

func (s *Store) move(from, to string) error {
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

// fileName is a name that every file system takes, also one that folds letters,
// and that no other connector has.
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

// stamped tells files of one name apart.
func stamped(file string) string {
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(file, suffix), time.Now().UnixNano(), suffix)
}
