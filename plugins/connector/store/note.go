package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Note is a file of the service itself next to the definitions.
type Note struct {
	store *Store
	file  string
}

// Note returns the file with this name, which need not exist yet.
func (s *Store) Note(name string) Note { return Note{s, filepath.Join(s.dir, name)} }

// Path returns the path of the file.
func (n Note) Path() string { return n.file }

// Read returns what Write has written, nothing before the first Write.
func (n Note) Read() ([]byte, error) {
	data, err := os.ReadFile(n.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Write replaces the file, and returns when the new contents outlive a crash.
func (n Note) Write(data []byte) error { return n.store.write(n.file, data) }
