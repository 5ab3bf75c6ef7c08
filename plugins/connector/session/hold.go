package session

import (
	"fmt"
	"maps"
	"slices"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// TakenError means that another connector has one of the sessions.
type TakenError struct {
	ClientID, Other string
	// Unread: the other connector cannot be read, and may use the client id.
	Unread bool
}

func (e *TakenError) Error() string {
	if e.Unread {
		return fmt.Sprintf("%q may be that of connector %q, whose definition cannot be read: give another one, or delete that connector", e.ClientID, e.Other)
	}
	return fmt.Sprintf("%q is that of connector %q at the same broker, and they would disconnect each other: give another one", e.ClientID, e.Other)
}

// Hold takes the sessions of some sides for a connector, in addition to those that it
// has, all or none. The error is a *TakenError, or says that the store cannot be written.
// Messages that a deleted connector left in such a session are removed before it is
// joined.
func (o *Owner) Hold(name string, sides ...Side) error {
	before, err := o.take(name, sides)
	if err != nil {
		return err
	}
	for _, side := range sides {
		for _, id := range side.IDs() {
			err := o.record(func() (store.Session, bool, error) {
				rec, known := o.records[id]
				own := uses(before, id.ClientID) || slices.Contains(o.unread[name], id.ClientID)
				left := known && !rec.Stale && !own && o.markedLocked(id) && !o.sharedLocked(name, id.ClientID)
				rec.Stale = true
				return rec, left, nil
			})
			if err != nil {
				o.Restore(name, before...)
				return err
			}
		}
	}
	return nil
}

// take gives the sessions of sides to a connector, unless another one may have them. It
// returns those that the connector had.
func (o *Owner) take(name string, sides []Side) (before []Side, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, side := range sides {
		if err := o.takenLocked(name, side); err != nil {
			return nil, err
		}
	}
	before = o.held.sides[name]
	o.held.set(name, append(slices.Clone(before), sides...)...)
	return before, nil
}

func (o *Owner) takenLocked(name string, side Side) error {
	for _, other := range o.held.overlapping(side) {
		if other != name {
			return &TakenError{ClientID: side.ClientID, Other: other}
		}
	}
	for other, ids := range o.unread {
		if other != name && slices.Contains(ids, side.ClientID) {
			return &TakenError{ClientID: side.ClientID, Other: other, Unread: true}
		}
	}
	return o.beingRemovedLocked(name, side)
}

// uses reports whether sides have a client id.
func uses(sides []Side, clientID string) bool {
	return slices.ContainsFunc(sides, func(s Side) bool { return s.ClientID == clientID })
}

func contain(sides []Side, id ID) bool {
	return slices.ContainsFunc(sides, func(s Side) bool { return slices.Contains(s.IDs(), id) })
}

// Restore undoes Hold for a change that could not be made: the connector has the former
// sides again.
func (o *Owner) Restore(name string, sides ...Side) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held.set(name, sides...)
}

// Settle sets the sides of a connector; without any it has no sessions. Its sessions no
// longer count as those of a deleted connector.
func (o *Owner) Settle(name string, sides ...Side) {
	o.mu.Lock()
	delete(o.unread, name)
	o.held.set(name, sides...)
	var done []*mark
	for _, m := range o.marks {
		// The mark of another connector may be about to count: what that connector has is
		// left to it. That of another worker is for that one to judge.
		if !o.runs(m.released.Connector.Name) {
			continue
		}
		maps.DeleteFunc(m.left, func(id ID, _ Side) bool { return contain(sides, id) })
		if len(m.left) == 0 {
			done = append(done, m)
		}
	}
	o.mu.Unlock()
	for _, m := range done {
		o.forget(m)
	}
	o.Wake()
}
