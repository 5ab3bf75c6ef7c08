package disklog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"
)

// Files is the directory of a log. Names have no directory in them.
type Files interface {
	// List returns the names of all files.
	List() ([]string, error)
	// Create creates a file, or empties it, and opens it for reading and writing.
	Create(name string) (File, error)
	// Open opens a file for reading and writing. The error is fs.ErrNotExist if there
	// is none.
	Open(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// Sync makes creations, renames and removals durable.
	Sync() error
	// Close gives up the directory, so that another process may use it.
	Close() error
}

// File is one file of the directory.
type File interface {
	ReadAt(p []byte, at int64) (int, error)
	WriteAt(p []byte, at int64) (int, error)
	Truncate(size int64) error
	// Sync makes the content and the size durable.
	Sync() error
	Size() (int64, error)
	Close() error
}

// lockName is the file whose lock says that a process uses the directory.
const lockName = "lock"

// OpenDir opens a directory for one log, and creates it if there is none. The error
// says so if another process, or another log of this process, uses it.
func OpenDir(path string) (Files, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("creating the directory of the buffer: %w", err)
	}
	lock := flock.New(filepath.Join(path, lockName), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the directory of the buffer: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("the directory %s is used by another buffer or process; give each buffer a path of its own", path)
	}
	return &directory{path: path, lock: lock}, nil
}

type directory struct {
	path string
	lock *flock.Flock
}

func (d *directory) in(name string) string { return filepath.Join(d.path, name) }

func (d *directory) List() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (d *directory) Create(name string) (File, error) {
	return opened(os.OpenFile(d.in(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600))
}

func (d *directory) Open(name string) (File, error) {
	return opened(os.OpenFile(d.in(name), os.O_RDWR, 0))
}

func opened(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d *directory) Rename(from, to string) error { return os.Rename(d.in(from), d.in(to)) }

func (d *directory) Remove(name string) error {
	if err := os.Remove(d.in(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *directory) Sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // a file system that has no such call
	}
	return errors.Join(err, f.Close())
}

func (d *directory) Close() error { return d.lock.Close() }

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
