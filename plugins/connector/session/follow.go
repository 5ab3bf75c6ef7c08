package session

import (
	"fmt"
	"slices"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Follow takes over what other workers have recorded about sessions. read returns the
// contents of the store, and includes all that this worker has recorded: it is called
// while nothing is recorded here. Settle takes over what they have done to connectors.
func (o *Owner) Follow(read func() (store.Contents, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all, err := read()
	if err != nil {
		return // the caller has reported it
	}
	clear(o.records)
	for _, rec := range all.Sessions {
		o.records[ID{rec.Endpoint, rec.ClientID}] = rec
	}
	o.marks = slices.DeleteFunc(o.marks, func(m *mark) bool {
		return !m.busy && !slices.ContainsFunc(all.Released, m.released.Is)
	})
	for _, r := range all.Released {
		if slices.ContainsFunc(o.marks, func(m *mark) bool { return m.released.Is(r) }) {
			continue
		}
		m, err := o.newMark(r)
		if err != nil {
			o.log.Error("Cannot remove the sessions of a deleted connector", "connector", r.Connector.Name, "error", err)
			continue
		}
		o.marks = append(o.marks, m)
	}
	o.Wake()
}

// beingRemovedLocked returns an error if another worker may be removing a session of a
// side, because it was that of another connector, or of a deleted one of the same name. The
// two workers would disconnect each other, and messages that arrive meanwhile would be
// lost. The first member runs on the worker that removes sessions, and waits for that.
func (o *Owner) beingRemovedLocked(name string, side Side) error {
	for _, id := range side.IDs() {
		if o.isHeldLocked(id) {
			continue
		}
		if side.Member > 0 && o.others && o.clearing[id.ClientID] != nil {
			return fmt.Errorf("the session %q at %s, which was that of a deleted connector, is being removed: try again soon", id.ClientID, id.Endpoint)
		}
		for _, m := range o.marks {
			before := m.released.Connector.Name
			if _, has := m.left[id]; has && (before != name || side.Member > 0) && !o.runs(before) {
				return fmt.Errorf("another worker removes the session %q at %s, which was that of connector %q: try again soon, or give another client_id", id.ClientID, id.Endpoint, before)
			}
		}
	}
	return nil
}
