package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Notes are files of the service itself, in a directory of this machine. Without a
// directory, which is the zero value, nothing is kept.
type Notes struct{ dir string }

// Notes returns those in the directory of the store.
func (s *Dir) Notes() Notes { return Notes{s.dir} }

// OpenNotes returns those in a directory, which it creates if it does not exist.
func OpenNotes(dir string) (Notes, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return Notes{}, fmt.Errorf("opening the state directory: %w", err)
	}
	return Notes{dir}, nil
}

// Kept reports whether there is a directory.
func (n Notes) Kept() bool { return n.dir != "" }

// File returns the file with this name, which need not exist yet.
func (n Notes) File(name string) Note {
	if !n.Kept() {
		return Note{}
	}
	return Note{filepath.Join(n.dir, name)}
}

// Note is one of the files.
type Note struct{ file string }

// Path returns the path of the file.
func (n Note) Path() string { return n.file }

// Read returns what Write has written, nothing before the first Write.
func (n Note) Read() ([]byte, error) {
	if n.file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(n.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Write replaces the file, and returns when the new contents outlive a crash.
func (n Note) Write(data []byte) error {
	if n.file == "" {
		return nil
	}
	return write(n.file, data)
}
