// Package store keeps the definitions of connectors in files, one per connector. Each
// file is complete whenever the process or the machine stops: as before a change or as
// after it.
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
package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"

	"github.com/robustmq/robustmq-connect/plugins/connector"
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

// Definition is a stored connector.
type Definition struct {
	// Connector has its times as time.RFC3339Nano, and Stop as its status while it is
	// paused.
	Connector connector.Connector
	// HandOver are sessions that an update gave up: their messages are delivered before
	// the connector runs with its current definition.
	HandOver []HandOver
	// Revision counts the definitions of the connector. Create and Revise set it.
	Revision int
	// Actor is who made this revision, "" if that is not known.
	Actor string
	// Old is what version 1 of the store had instead.
	Old Old
}

// HandOver is a definition from before an update, and the endpoints of those of its
// sessions that the connector no longer has.
type HandOver struct {
	From      connector.Connector
	Endpoints []string
}

// Old are the tasks of version 1 of the store.
type Old struct {
	ForgetSession bool     // the session is that of a connector that was deleted
	Unsubscribe   []string // filters that the connector no longer reads from
}

// Session is one session on an MQTT broker that a connector has joined.
type Session struct {
	Endpoint string `json:"endpoint"` // as the session package normalises it
	ClientID string `json:"client_id"`
	// Connector is the name of the last connector that joined it.
	Connector string `json:"connector"`
	// Made: the broker had no such session before a connector of this service joined
	// it. Only such a session is ever removed.
	Made bool `json:"made"`
	// Stale: it belonged to a deleted connector, and is removed before another one
	// joins it.
	Stale bool `json:"stale,omitempty"`
	// Filters are those that it may be subscribed to.
	Filters []string `json:"filters,omitempty"`
}

// Released is a deleted connector, or its definition before an update, whose sessions
// may remain on MQTT brokers.
type Released struct {
	Definition
	// Old: it is from version 1 of the store, which did not record who created a
	// session.
	Old  bool
	file string
}

// Is reports whether two are the same.
func (r Released) Is(o Released) bool { return r.file == o.file }

// Unreadable is a file that could not be read. It was not moved.
type Unreadable struct {
	File string
	Why  error
	// Name and ClientID are what could be read of a connector's definition.
	Name, ClientID string
}

// Contents is the result of Load.
type Contents struct {
	Version     int          // that wrote it; 1 where it has none and is not empty
	Definitions []Definition // by name
	Sessions    []Session
	Released    []Released
	// Unreadable are the definitions that could not be read, by name.
	Unreadable []Unreadable
	// Ignored are other files that could not be read.
	Ignored []Unreadable
}

// Store is a directory of definitions. Its methods may be called from any goroutine,
// but for one name by only one at a time.
type Store struct {
	dir  string
	lock *flock.Flock

	mu   sync.Mutex
	gone int // the greatest revision of deleted connectors
}

// Open opens a directory for this process only, and creates it if it does not exist.
// The lock ends with the process.
func Open(dir string) (*Store, error) {
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
	s := &Store{dir: dir, lock: lock}
	s.gone, _ = s.readGone() // Load reports that it cannot be read
	return s, nil
}

// Close releases the directory.
func (s *Store) Close() error { return s.lock.Close() }
