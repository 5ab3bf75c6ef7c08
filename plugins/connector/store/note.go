package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Note is a file of the service's own beside the definitions.
type Note struct {
	store *Store
	file  string
}

// Note returns the file of this name, which need not exist yet.
func (s *Store) Note(name string) Note { return Note{s, filepath.Join(s.dir, name)} }

// Path is where the file is.
func (n Note) Path() string { return n.file }

// Read returns what Write has kept, nothing before the first.
func (n Note) Read() ([]byte, error) {
	data, err := os.ReadFile(n.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Write replaces the file, and returns once that outlives a crash.
func (n Note) Write(data []byte) error { return n.store.write(n.file, data) }
