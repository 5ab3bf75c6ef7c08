package kafkastore

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Create implements store.Store.
func (s *Store) Create(d store.Definition) (store.Definition, error) {
	err := s.changeEntry(d.Connector.Name, func(e *entry) ([]record, error) {
		if e.now != nil {
			return nil, fmt.Errorf("the store has it already, at revision %d", e.now.Revision)
		}
		d.Revision = s.view.nextRevision()
		e.now, e.past = &d, store.Past{}
		return nil, nil
	})
	return d, storing(d.Connector.Name, err)
}

// Revise implements store.Store. The history is part of the value, so none is set aside.
func (s *Store) Revise(before *store.Definition, d store.Definition) (revised store.Definition, aside string, err error) {
	if before == nil {
		revised, err = s.Create(d) // the value that could not be read is set aside
		return revised, "", err
	}
	err = s.changeEntry(d.Connector.Name, func(e *entry) ([]record, error) {
		if err := e.isAt(before.Revision); err != nil {
			return nil, err
		}
		d.Revision = before.Revision + 1
		e.past = e.past.With(*e.now)
		e.now = &d
		return nil, nil
	})
	return d, "", storing(d.Connector.Name, err)
}

// isAt returns an error unless the connector is at a revision.
func (e *entry) isAt(revision int) error {
	switch {
	case e.now == nil:
		return errors.New("the store does not have it any more")
	case e.now.Revision != revision:
		return fmt.Errorf("it is at revision %d in the store, and not at %d: read it again and repeat the change", e.now.Revision, revision)
	}
	return nil
}

// Put implements store.Store.
func (s *Store) Put(d store.Definition) error {
	return storing(d.Connector.Name, s.changeEntry(d.Connector.Name, func(e *entry) ([]record, error) {
		err := e.isAt(d.Revision)
		e.now = &d
		return nil, err
	}))
}

// Release implements store.Store.
func (s *Store) Release(d store.Definition) (store.Released, error) {
	r := removed{rand.Text(), d}
	err := s.changeEntry(d.Connector.Name, func(e *entry) ([]record, error) {
		if e.now != nil {
			if err := e.isAt(d.Revision); err != nil {
				return nil, err
			}
		}
		e.now, e.past = nil, store.Past{}
		e.removed = append(e.removed, r)
		return s.retire(d.Revision)
	})
	if err != nil {
		return store.Released{}, fmt.Errorf("removing connector %q: %w", d.Connector.Name, err)
	}
	return released(keyOf(d.Connector.Name), r), nil
}

// retire returns the record that keeps the revision of a removed connector.
func (s *Store) retire(revision int) ([]record, error) {
	one, err := small(storeKey, smallJSON{Revision: max(revision, s.view.nextRevision()-1)})
	return []record{one}, err
}

// Mark implements store.Store.
func (s *Store) Mark(d store.Definition) (store.Released, error) {
	r := removed{rand.Text(), d}
	err := s.changeEntry(d.Connector.Name, func(e *entry) ([]record, error) {
		e.removed = append(e.removed, r)
		return nil, nil
	})
	if err != nil {
		return store.Released{}, fmt.Errorf("marking the sessions of connector %q: %w", d.Connector.Name, err)
	}
	return released(keyOf(d.Connector.Name), r), nil
}

// Forget implements store.Store. When nothing is left of a connector, its record is
// replaced by a tombstone.
func (s *Store) Forget(r store.Released) error {
	err := s.changeEntry(r.Connector.Name, func(e *entry) ([]record, error) {
		before := len(e.removed)
		e.removed = slices.DeleteFunc(e.removed, func(one removed) bool {
			return released(keyOf(r.Connector.Name), one).Is(r)
		})
		if len(e.removed) == before {
			return nil, errNothing
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("dropping the mark of connector %q: %w", r.Connector.Name, err)
	}
	return nil
}

// errNothing ends a change that has nothing to do.
var errNothing = errors.New("nothing to change")

// changeEntry changes what the record of a connector says, and writes other records with
// it.
func (s *Store) changeEntry(name string, edit func(e *entry) ([]record, error)) error {
	key := keyOf(name)
	err := s.change(func() ([]record, error) {
		e, err := s.view.find(key)
		if err != nil {
			return nil, fmt.Errorf("what the store has under this name cannot be read: %w", err)
		}
		more, err := edit(&e)
		if err != nil {
			return nil, err
		}
		value, err := encodeEntry(key, e, s.keys)
		return append(more, record{key, value}), err
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

func storing(name string, err error) error {
	if err != nil {
		return fmt.Errorf("storing connector %q: %w", name, err)
	}
	return nil
}

// History implements store.Store.
func (s *Store) History(d store.Definition) ([]connector.Revision, error) {
	e, err := s.view.find(keyOf(d.Connector.Name))
	if err != nil {
		return nil, fmt.Errorf("reading the history of connector %q: %w", d.Connector.Name, err)
	}
	return e.past.Before(cmp.Or(d.Revision, math.MaxInt)).Revisions(), nil
}

// PutSession implements store.Store.
func (s *Store) PutSession(one store.Session) error {
	err := s.change(func() ([]record, error) {
		r, err := small(sessionKeyOf(one.Endpoint, one.ClientID), smallJSON{Session: &one})
		return []record{r}, err
	})
	if err != nil {
		return fmt.Errorf("storing the session %q: %w", one.ClientID, err)
	}
	return nil
}

// DropSession implements store.Store.
func (s *Store) DropSession(endpoint, clientID string) error {
	key := sessionKeyOf(endpoint, clientID)
	err := s.change(func() ([]record, error) {
		if !s.view.hasSession(key) {
			return nil, nil
		}
		return []record{{key: key}}, nil
	})
	if err != nil {
		return fmt.Errorf("dropping the session %q: %w", clientID, err)
	}
	return nil
}

// Retry implements store.Store.
func (s *Store) Retry(u store.Unreadable) (store.Definition, error) {
	e, err := s.view.find(keyOf(u.Name))
	if err == nil && e.now == nil {
		err = errors.New("the store does not have it any more")
	}
	if err != nil {
		return store.Definition{}, err
	}
	return *e.now, nil
}

// SetAside implements store.Store.
func (s *Store) SetAside(u store.Unreadable) (string, error) {
	key := keyOf(u.Name)
	aside := fmt.Sprintf("%s%s/%s", asideKey, strings.TrimPrefix(key, connectorKey), time.Now().UTC().Format("20060102T150405.000000000"))
	err := s.change(func() ([]record, error) {
		bad, is := s.view.badRecord(key)
		switch {
		case !is:
			return nil, nil // somebody has corrected or removed it
		case errors.Is(bad.why, store.ErrNewer):
			return nil, fmt.Errorf("%w: change it there", bad.why)
		}
		records, err := s.retire(bad.revision())
		return append(records, record{aside, bad.raw}, record{key: key}), err
	})
	if err != nil {
		return "", fmt.Errorf("setting %s aside: %w", u.File, err)
	}
	return s.view.place(aside), nil
}

// revision returns one that the connector in a value cannot have had: each revision took
// a record, unless the value says more.
func (b badRecord) revision() int {
	var v struct {
		Revision int `json:"revision"`
	}
	_ = json.Unmarshal(b.raw, &v) // what was read before the error is good enough
	return max(v.Revision, int(b.offset)+1)
}

// Discard implements store.Store.
func (s *Store) Discard(u store.Unreadable) (string, error) { return s.SetAside(u) }
