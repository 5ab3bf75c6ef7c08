package kafkastore

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// fillTimeout is how long Fill may take.
const fillTimeout = 25 * time.Second

// Whole implements store.Store.
func (s *Store) Whole() (store.Whole, error) {
	w := store.Whole{Contents: s.view.contents(), Past: map[string]store.Past{}, Gone: s.view.nextRevision() - 1}
	for _, d := range w.Definitions {
		e, err := s.view.find(keyOf(d.Connector.Name))
		if err != nil {
			return store.Whole{}, err
		}
		w.Past[d.Connector.Name] = e.past.Before(d.Revision) // a service may have changed it since
	}
	return w, nil
}

// Fill implements store.Store, in one transaction. Where it is refused or ends early, the
// store is as before.
func (s *Store) Fill(w store.Whole) error {
	err := s.changeWithin(fillTimeout, func() ([]record, error) {
		entries, sessions := s.view.keysHeld()
		all := map[string]entry{}
		for _, d := range w.Definitions {
			all[keyOf(d.Connector.Name)] = entry{now: &d, past: w.Past[d.Connector.Name]}
		}
		for _, r := range w.Released {
			key := keyOf(r.Connector.Name)
			e := all[key]
			e.removed = append(e.removed, removed{rand.Text(), r.Definition})
			all[key] = e
		}
		records, err := s.retire(w.Gone)
		if err != nil {
			return nil, err
		}
		for _, key := range slices.Sorted(maps.Keys(all)) {
			delete(entries, key)
			value, err := encodeEntry(key, all[key], s.keys)
			if err != nil {
				return nil, fmt.Errorf("connector %q: %w", key[len(connectorKey):], err)
			}
			records = append(records, record{key, value})
		}
		for _, one := range w.Sessions {
			r, err := small(sessionKeyOf(one.Endpoint, one.ClientID), smallJSON{Session: &one})
			if err != nil {
				return nil, err
			}
			delete(sessions, r.key)
			records = append(records, r)
		}
		maps.Copy(entries, sessions)
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			records = append(records, record{key: key})
		}
		return records, nil
	})
	if err != nil {
		return fmt.Errorf("writing the store: %w", err)
	}
	return nil
}
