package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// syncAfter is how long a worker waits until it sees what the writer has stored for it.
const syncAfter = 10 * time.Second

// ErrNoWriter means that no worker writes the store at the moment.
var ErrNoWriter = errors.New("no worker writes the store at the moment: try again soon")

// sharedStore is the store of one of several workers. It reads what it has, and sends
// changes to the worker that writes. Create and Revise judge what other connectors have,
// so only the writer makes them.
type sharedStore struct {
	store.Store // of this worker
	service     *Service
}

// Lost implements store.Store. A worker that does not write any more goes on as a reader.
func (s *sharedStore) Lost() <-chan struct{} { return nil }

// Upgrade implements store.Store. Workers of two versions may be side by side, so none
// of them changes the version of the store.
func (s *sharedStore) Upgrade() error { return nil }

// Probe implements store.Store. A worker that does not write asks nobody else.
func (s *sharedStore) Probe() error {
	if s.service.writes() {
		return s.Store.Probe()
	}
	all, err := s.Load()
	if err != nil {
		return err
	}
	return all.Stale
}

// Create implements store.Store.
func (s *sharedStore) Create(d store.Definition) (store.Definition, error) {
	if !s.service.writes() {
		return d, ErrNoWriter
	}
	return s.Store.Create(d)
}

// Revise implements store.Store.
func (s *sharedStore) Revise(before *store.Definition, d store.Definition) (store.Definition, string, error) {
	if !s.service.writes() {
		return d, "", ErrNoWriter
	}
	return s.Store.Revise(before, d)
}

// Put implements store.Store.
func (s *sharedStore) Put(d store.Definition) error {
	_, err := s.change(change{Op: opPut}.about(d))
	return err
}

// Release implements store.Store.
func (s *sharedStore) Release(d store.Definition) (store.Released, error) {
	id, err := s.change(change{Op: opRelease}.about(d))
	return store.Released{Definition: d, ID: id}, err
}

// Mark implements store.Store.
func (s *sharedStore) Mark(d store.Definition) (store.Released, error) {
	id, err := s.change(change{Op: opMark}.about(d))
	return store.Released{Definition: d, ID: id}, err
}

// Forget implements store.Store.
func (s *sharedStore) Forget(r store.Released) error {
	c, err := change{Op: opForget, ID: r.ID}.about(r.Definition)
	_, err = s.change(c, err)
	return err
}

// PutSession implements store.Store.
func (s *sharedStore) PutSession(one store.Session) error {
	_, err := s.change(change{Op: opPutSession, Session: &one}, nil)
	return err
}

// DropSession implements store.Store.
func (s *sharedStore) DropSession(endpoint, clientID string) error {
	_, err := s.change(change{Op: opDropSession, Session: &store.Session{Endpoint: endpoint, ClientID: clientID}}, nil)
	return err
}

// SetAside implements store.Store.
func (s *sharedStore) SetAside(u store.Unreadable) (string, error) {
	return s.change(change{Op: opSetAside, Name: u.Name, ID: u.File}, nil)
}

// Discard implements store.Store.
func (s *sharedStore) Discard(u store.Unreadable) (string, error) {
	return s.change(change{Op: opDiscard, Name: u.Name, ID: u.File}, nil)
}

// change makes a change where the writer is. What is done is then visible here.
func (s *sharedStore) change(c change, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if s.service.writes() {
		return c.make(s.Store)
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout+syncAfter)
	defer cancel()
	answer, err := s.service.sendChange(ctx, c)
	if err != nil {
		return "", err
	}
	if err := s.Sync(ctx); err != nil {
		return "", fmt.Errorf("the store was changed, but this worker does not see it: %w", err)
	}
	return answer, nil
}

// The operations of a change.
const (
	opPut         = "put"
	opRelease     = "release"
	opMark        = "mark"
	opForget      = "forget"
	opPutSession  = "put_session"
	opDropSession = "drop_session"
	opSetAside    = "set_aside"
	opDiscard     = "discard"
)

// change is one of the store that a worker asks the writer for, as JSON.
type change struct {
	Op         string         `json:"op"`
	Definition []byte         `json:"definition,omitempty"` // as store.Encode writes it
	Session    *store.Session `json:"session,omitempty"`
	Name       string         `json:"name,omitempty"` // of a connector that cannot be read
	ID         string         `json:"id,omitempty"`   // of what was released, or where what cannot be read is
}

func (c change) about(d store.Definition) (change, error) {
	var err error
	c.Definition, err = store.Encode(d)
	return c, err
}

// make makes the change in the store of the writer. The text is the ID of what was
// released or marked, or where something was set aside.
func (c change) make(to store.Store) (string, error) {
	var d store.Definition
	switch c.Op {
	case opPut, opRelease, opMark, opForget:
		var err error
		if d, err = store.Decode(c.Definition); err != nil {
			return "", fmt.Errorf("reading the definition that another worker has sent: %w", err)
		}
	case opPutSession, opDropSession:
		if c.Session == nil {
			return "", errors.New("session: missing")
		}
	}
	switch c.Op {
	case opPut:
		return "", to.Put(d)
	case opRelease:
		r, err := to.Release(d)
		return r.ID, err
	case opMark:
		r, err := to.Mark(d)
		return r.ID, err
	case opForget:
		return "", to.Forget(store.Released{Definition: d, ID: c.ID})
	case opPutSession:
		return "", to.PutSession(*c.Session)
	case opDropSession:
		return "", to.DropSession(c.Session.Endpoint, c.Session.ClientID)
	case opSetAside:
		return to.SetAside(store.Unreadable{Name: c.Name, File: c.ID})
	case opDiscard:
		return to.Discard(store.Unreadable{Name: c.Name, File: c.ID})
	}
	return "", fmt.Errorf("op: %q is unknown: workers of two versions must be able to follow each other, update this one", c.Op)
}
