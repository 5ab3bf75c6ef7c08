package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"
)

// Version is the version of the store that this program writes. The first had no
// version file, removed/ instead of released/, and no sessions/.
const Version = 2

const (
	connectorsDir = "connectors"
	historyDir    = "history"
	sessionsDir   = "sessions"
	releasedDir   = "released"
	setAsideDir   = "set_aside"
	oldRemovedDir = "removed" // of version 1
	versionFile   = "version"
	revisionFile  = "revision"
	suffix        = ".json"
	tmpSuffix     = ".tmp"
)

var _ Store = (*Dir)(nil)

// Dir is a store in a directory. It keeps a file per connector. Each file is complete
// whenever the process or the machine stops: as before a change or as after it.
//
//	DIR/lock            held while a service uses the directory
//	DIR/version         the version of the store
//	DIR/connectors/     a definition each
//	DIR/history/        the definitions that each had before, without secrets
//	DIR/revision        the greatest revision of connectors that are gone
//	DIR/sessions/       the sessions on MQTT brokers that connectors have joined
//	DIR/released/       connectors that are gone and whose sessions remain
//	DIR/set_aside/      files of connectors that could not be read and were deleted
//
// A file that cannot be read stays where it is: the version that wrote it may be used
// again.
type Dir struct {
	dir  string
	lock *flock.Flock

	mu   sync.Mutex
	gone int // the greatest revision of deleted connectors
}

// Open opens a directory for this process only, and creates it if it does not exist.
// The lock ends with the process.
func Open(dir string) (*Dir, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	for _, sub := range []string{connectorsDir, historyDir, sessionsDir, releasedDir, setAsideDir} {
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
		return nil, fmt.Errorf("opening the store %s: another service uses it: stop that one, or give this one its own directory", dir)
	}
	s := &Dir{dir: dir, lock: lock}
	s.gone, _ = s.readGone() // Load reports that it cannot be read
	return s, nil
}

// Sync implements Store. Load reads the files themselves.
func (s *Dir) Sync(context.Context) error { return nil }

// Changed implements Store. The lock keeps others away.
func (s *Dir) Changed() <-chan struct{} { return nil }

// Lost implements Store. The lock is held until the process ends.
func (s *Dir) Lost() <-chan struct{} { return nil }

// Close releases the directory.
func (s *Dir) Close() error { return s.lock.Close() }
