package supervisor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Share says which members of connectors this worker runs, where several workers have one
// store. Every worker knows all connectors. Create, Update and Rollback belong on the
// worker that writes the store, everything else about a connector on its owner: the worker
// that runs its first member.
type Share interface {
	// Runs reports whether this worker runs a member of a connector, from 0.
	Runs(name string, member int) bool
	// Confirm returns nil if it still does at the time of the call. A connection to a
	// broker needs that.
	Confirm(ctx context.Context, name string, member int) error
	// Hold drains the members of a connector on all other workers, which start them again
	// as Supervisor.Hold says. still returns nil while no member has moved since. The error
	// says which worker does not do it; no worker holds the connector then.
	Hold(ctx context.Context, name string, revision, members int, operation string) (still func() error, err error)
	// LetGo ends Hold as Supervisor.LetGo does. It waits for no worker longer than for
	// seconds; the error says which one does not answer.
	LetGo(name string, members int, operation string, afresh bool) error
	// Membership is for the metrics.
	Membership() connector.Membership
}

// syncTimeout is how long the store may take to answer before a worker goes on with what
// it knows.
const syncTimeout = 10 * time.Second

// showTimeout is how long Refresh waits for an operation that is under way, which may
// drain a connector.
const showTimeout = 5 * time.Second

// runs reports whether this worker runs a member of a connector.
func (s *Supervisor) runs(name string, member int) bool {
	return s.opts.Share == nil || s.opts.Share.Runs(name, member)
}

// owns reports whether this worker runs the first member of a connector.
func (s *Supervisor) owns(name string) bool { return s.runs(name, 0) }

// ownEntries returns the connectors of which this worker runs or still drains a member, by
// name.
func (s *Supervisor) ownEntries() (all []*entry) {
	for _, e := range s.list() {
		if len(s.membersHere(e)) > 0 {
			all = append(all, e)
		}
	}
	return all
}

// membersHere returns the members that this worker runs or still drains.
func (s *Supervisor) membersHere(e *entry) (all []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, one := range e.all() {
		if one.run != nil || s.runs(e.definition.Connector.Name, i) {
			all = append(all, one)
		}
	}
	return all
}

// Take starts the members that this worker runs now and that do not run yet. It does not
// wait for them.
func (s *Supervisor) Take() {
	select {
	case s.taken <- struct{}{}:
	default: // it is known already
	}
}

// Release drains the members for which gone is true, and returns when they have ended.
// Their sessions stay on the brokers. Share.Runs is false for them before the call.
func (s *Supervisor) Release(gone func(name string, member int) bool) {
	var stopping sync.WaitGroup
	for _, e := range s.list() {
		if len(s.membersWhere(e, gone)) > 0 {
			stopping.Go(func() { s.stopForOthers(e, gone) })
		}
	}
	stopping.Wait()
}

// Abandon stops members that other workers may run already, and does not wait.
func (s *Supervisor) Abandon(gone func(name string, member int) bool) {
	for _, e := range s.list() {
		some := s.membersWhere(e, gone)
		if len(some) == 0 {
			continue
		}
		s.mu.Lock()
		cancelLocked(some)
		s.mu.Unlock()
		s.backgroundIfOpen(func() { s.stopForOthers(e, gone) })
	}
}

// membersWhere returns the members of a connector for which is is true.
func (s *Supervisor) membersWhere(e *entry, is func(name string, member int) bool) (some []*entry) {
	for i, one := range s.membersOf(e) {
		if is(s.nameOf(e), i) {
			some = append(some, one)
		}
	}
	return some
}

// stopForOthers stops members unless they are this worker's again.
func (s *Supervisor) stopForOthers(e *entry, gone func(name string, member int) bool) {
	name := s.nameOf(e)
	unlock, err := s.operations.lock(context.Background(), name)
	if err != nil {
		return // that context has no end
	}
	defer unlock()
	_ = s.stopMembers(s.membersWhere(e, gone)) // Warnings reports what continues
	s.mu.Lock()
	s.startLocked(e) // the group may have given it back meanwhile
	s.mu.Unlock()
}

// follow applies what other workers change in the store, and starts what this worker
// takes, until the service ends.
func (s *Supervisor) follow() {
	for {
		// Taken before: others read the store too, and a change that they have seen first
		// would otherwise wait for the next one.
		changed := s.store.Changed()
		s.apply()
		select {
		case <-s.halted.Done():
			return
		case <-changed:
		case <-s.taken:
			ctx, cancel := context.WithTimeout(s.halted, syncTimeout)
			if err := s.store.Sync(ctx); err != nil && s.halted.Err() == nil {
				s.log.Warn("The store does not answer: connectors start with the definitions that are known", "error", err)
			}
			cancel()
		}
	}
}

// Refresh makes what was stored before the call visible here. The error says why that is
// not known.
func (s *Supervisor) Refresh(ctx context.Context) error {
	err := s.store.Sync(ctx)
	bounded, cancel := context.WithTimeout(ctx, showTimeout)
	defer cancel()
	for _, shown := range s.apply() {
		select {
		case <-shown:
		case <-bounded.Done():
		}
	}
	return err
}

// catchUp is Refresh before a change, where other workers may have made one.
func (s *Supervisor) catchUp(ctx context.Context) error {
	if s.opts.Share == nil {
		return nil
	}
	if err := s.Refresh(ctx); err != nil {
		return fmt.Errorf("reading the store before the change: nothing was changed: %w", err)
	}
	return nil
}

// apply compares the connectors with the store, and begins to change what differs. The
// channels are closed when entries show what is stored, which waits for no stream.
func (s *Supervisor) apply() (all []<-chan struct{}) {
	stored, err := s.contents.load()
	if err != nil {
		s.log.Error("Cannot read the store: connectors go on as they are", "error", err)
		return nil
	}
	s.sessions.Follow(s.contents.read)
	names := map[string]bool{}
	for name := range stored.definitions {
		names[name] = true
	}
	for name := range stored.unreadable {
		names[name] = true
	}
	for _, e := range s.list() {
		names[s.nameOf(e)] = true
	}
	for name := range names {
		if !s.needsApply(stored, name) {
			continue
		}
		shown, fresh := s.contents.queue(name)
		all = append(all, shown)
		if !fresh {
			continue // somebody is about to do it
		}
		show := sync.OnceFunc(func() { close(shown) })
		started := s.backgroundIfOpen(func() {
			defer show()
			s.applyOne(name, show)
		})
		if !started {
			show()
		}
	}
	return all
}

// backgroundIfOpen runs f in a goroutine that Close waits for, unless Close was called.
func (s *Supervisor) backgroundIfOpen(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.background(f)
	return true
}

// needsApply reports whether there is something to do about a connector.
func (s *Supervisor) needsApply(all *indexed, name string) bool {
	d, there := all.definitions[name]
	u, bad := all.unreadable[name]
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[name]
	switch {
	case e == nil:
		return there || bad
	case there:
		if e.unread != nil || !isSameDefinition(e.definition, d) {
			return true
		}
		return !s.journal.Searching() && slices.ContainsFunc(s.dueLocked(e), func(one *entry) bool { return one.failed == nil })
	case bad:
		return e.unread == nil || e.unread.File != u.File
	}
	return true
}

// applyOne makes one connector what the store says. While it holds the lock of the
// name, no operation of this worker changes the connector.
func (s *Supervisor) applyOne(name string, shown func()) {
	unlock, err := s.operations.lock(s.halted, name)
	s.contents.unqueue(name)
	if err != nil {
		return // the service ends
	}
	defer unlock()
	all, err := s.contents.load() // it may have changed meanwhile
	if err != nil || !s.needsApply(all, name) {
		return
	}
	d, there := all.definitions[name]
	u, bad := all.unreadable[name]
	e := s.find(name)
	switch {
	case there:
		e = s.applyDefinition(e, d, shown)
	case bad:
		if e != nil {
			_ = s.stopRun(e) // Warnings reports what continues
		}
		e = s.applyUnreadable(e, name, u)
	default:
		shown() // a deleted connector is gone for readers, though it still drains
		_ = s.stopRun(e)
		s.dropEntry(name)
		s.sessions.Settle(name)
		return
	}
	s.mu.Lock()
	s.startLocked(e)
	s.mu.Unlock()
}

// applyDefinition gives an entry, which may be nil, its definition of now. A connector
// that runs is stopped first if that changes what it does.
func (s *Supervisor) applyDefinition(e *entry, d store.Definition, shown func()) *entry {
	name := d.Connector.Name
	own, err := s.sidesOf(d.Connector) // the sessions' owner reports that it cannot be read
	if sides, failed := s.sessions.SidesOf(d); err == nil && failed == nil {
		s.sessions.Settle(name, sides...)
	}
	if e != nil && s.undisturbed(e, d) {
		s.endHoldFor(e, d)
		s.setDefinition(e, d)
		return e
	}
	s.mu.Lock()
	if e == nil {
		e = s.newEntryLocked(d)
		e.unsettled.Store(len(d.HandOver) > 0) // unknown, so assume it
	}
	e.definition, e.unread = d, nil
	e.hide.Store(hiding(d.Connector.MQTT, d.Connector.Kafka.More))
	s.mu.Unlock()
	shown()
	_ = s.stopRun(e) // Warnings reports what continues
	s.mu.Lock()
	s.setLocked(e, d, own)
	s.mu.Unlock()
	return e
}

func (s *Supervisor) applyUnreadable(e *entry, name string, u store.Unreadable) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e == nil {
		e = s.newEntryLocked(store.Definition{Connector: connector.Connector{Name: name, Config: []byte("{}")}})
	}
	e.unread, e.failed = &u, unreadFailure(u)
	e.lastError.set(e.failed.why)
	return e
}

// isSameDefinition reports whether two stored definitions of one connector are one. A new revision
// has a new number, and what keeps the number is paused, resumed or handed over.
func isSameDefinition(a, b store.Definition) bool {
	return a.Revision == b.Revision && a.Connector.Status == b.Connector.Status && endpoints(a) == endpoints(b)
}

// endpoints counts the sessions that are still to be handed over.
func endpoints(d store.Definition) (n int) {
	for _, h := range d.HandOver {
		n += len(h.Endpoints)
	}
	return n
}

// undisturbed reports whether a connector need not be stopped for a definition: nothing but
// labels changes, or it has itself delivered a session that an update gave up.
func (s *Supervisor) undisturbed(e *entry, d store.Definition) bool {
	was := e.stored(s)
	if was.Connector.Status != d.Connector.Status {
		return false
	}
	if was.Revision == d.Revision {
		s.mu.Lock()
		defer s.mu.Unlock()
		return e.unread == nil
	}
	return endpoints(d) == 0 && s.labelsAlone(e, was, d.Connector, connector.UpdateOptions{})
}
