package supervisor

import (
	"context"
	"errors"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// An operation on a connector whose members run on several workers drains them first: what
// it does to sessions must not meet a member that reads them, or that joins one which the
// operation does not know yet. The other workers hold their members meanwhile.
//
// A worker that holds asks nobody: it drains under its own lock of the name. The worker of
// the operation asks before it takes that lock (elsewhere.go), so that two operations on
// one connector do not wait for each other. The store refuses the second one.

// holdFor is how long a worker holds members if it hears no more of the operation. Then it
// reads the store, which says what became of that.
const holdFor = time.Minute

// hold is why the members of a connector do not start.
type hold struct {
	revision int // of the connector
	// operations have asked for it. The supervisor's mutex guards them.
	operations map[string]bool
}

// errChanged means that two operations on a connector meet.
var errChanged = errors.New("the connector is being changed by somebody else, or moves between workers: try again soon")

// Hold drains the members of a connector that run here, of the given revision, for an
// operation of another worker. They start again when the stored definition is another one,
// by LetGo of the same operation, or after a minute and once the store answers. The error
// says why they cannot be held; they go on then.
func (s *Supervisor) Hold(ctx context.Context, name string, revision int, operation string) error {
	unlock, err := s.operations.lock(ctx, name)
	if err != nil {
		return errChanged
	}
	defer unlock()
	if s.isClosed() {
		return errClosed
	}
	if err := s.store.Sync(ctx); err != nil {
		return err
	}
	d, there, err := s.storedNow(name)
	if err != nil {
		return err
	}
	if !there || d.Revision != revision {
		return errChanged
	}
	e := s.find(name)
	if e == nil || !s.shows(e, d) {
		e = s.applyDefinition(e, d, func() {})
	}
	s.mu.Lock()
	if e.hold == nil {
		e.setHoldLocked(&hold{revision, map[string]bool{}})
	}
	e.hold.operations[operation] = true
	s.mu.Unlock()
	if err := s.stopRun(e); err != nil {
		s.endHold(e, operation)
		return err
	}
	time.AfterFunc(s.holdFor, func() { s.backgroundIfOpen(func() { s.outlastHold(e, operation) }) })
	return nil
}

func (s *Supervisor) storedNow(name string) (d store.Definition, there bool, err error) {
	all, err := s.contents.load()
	if err != nil {
		return d, false, err
	}
	d, there = all.definitions[name]
	return d, there, nil
}

// shows reports whether an entry has a stored definition.
func (s *Supervisor) shows(e *entry, d store.Definition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.unread == nil && isSameDefinition(e.definition, d)
}

// LetGo ends Hold for an operation, once this worker knows what that has stored. Where it is
// afresh, members that have failed start again too.
func (s *Supervisor) LetGo(ctx context.Context, name, operation string, afresh bool) error {
	unlock, err := s.operations.lock(ctx, name)
	if err != nil {
		return errChanged
	}
	defer unlock()
	if err := s.store.Sync(ctx); err != nil {
		return err
	}
	d, there, err := s.storedNow(name)
	e := s.find(name)
	if err != nil || e == nil || !there {
		return err
	}
	if !s.shows(e, d) {
		e = s.applyDefinition(e, d, func() {})
	}
	if afresh {
		s.logJournal(s.journal.Release(name))
		_ = s.stopMembers(s.failedMembers(e)) // Warnings reports what continues
	}
	s.endHold(e, operation)
	return nil
}

func (s *Supervisor) failedMembers(e *entry) (some []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range e.all() {
		if one.failed != nil {
			one.failed = nil
			some = append(some, one)
		}
	}
	return some
}

func (e *entry) setHoldLocked(h *hold) {
	for _, one := range e.all() {
		one.hold = h
	}
}

// endHold ends what an operation has asked for, and starts the members if no other one
// holds them. The caller holds the connector's operation lock.
func (s *Supervisor) endHold(e *entry, operation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.hold != nil {
		if delete(e.hold.operations, operation); len(e.hold.operations) == 0 {
			e.setHoldLocked(nil)
		}
	}
	s.startLocked(e)
}

// endHoldFor ends the hold of a connector that has another revision now.
func (s *Supervisor) endHoldFor(e *entry, d store.Definition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.hold != nil && e.hold.revision != d.Revision {
		e.setHoldLocked(nil)
	}
}

// outlastHold ends a hold of whose operation nothing was heard. A worker that does not know
// what the store has now must not start what it had before.
func (s *Supervisor) outlastHold(e *entry, operation string) {
	for s.isHeldFor(e, operation) {
		ctx, cancel := context.WithTimeout(s.halted, syncTimeout)
		err := s.store.Sync(ctx)
		cancel()
		if err == nil {
			break
		}
		if !s.sleep(time.Second) {
			return
		}
	}
	name := s.nameOf(e)
	unlock, err := s.operations.lock(s.halted, name)
	if err != nil {
		return // the service ends
	}
	defer unlock()
	// What differs, follow applies, which ends the hold.
	d, there, err := s.storedNow(name)
	if err == nil && there && s.shows(e, d) && s.isHeldFor(e, operation) {
		s.log.Warn("An operation of another worker on a connector has not ended: its members go on", "connector", name)
		s.endHold(e, operation)
	}
}

func (s *Supervisor) isHeldFor(e *entry, operation string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.hold != nil && e.hold.operations[operation]
}
