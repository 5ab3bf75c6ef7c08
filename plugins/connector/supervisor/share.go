package supervisor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Share says which connectors this worker runs, where several workers have one store.
// Every worker knows all connectors. Create, Update and Rollback belong on the worker
// that writes the store, everything else about a connector on the worker that runs it.
type Share interface {
	// Runs reports whether this worker runs a connector.
	Runs(name string) bool
	// Confirm returns nil if it still does at the time of the call. A connection to a
	// broker needs that.
	Confirm(ctx context.Context, name string) error
	// Membership is for the metrics.
	Membership() connector.Membership
}

// syncTimeout is how long the store may take to answer before a worker goes on with what
// it knows.
const syncTimeout = 10 * time.Second

// showTimeout is how long Refresh waits for an operation that is under way, which may
// drain a connector.
const showTimeout = 5 * time.Second

// runs reports whether this worker runs a connector.
func (s *Supervisor) runs(name string) bool { return s.opts.Share == nil || s.opts.Share.Runs(name) }

// confirmOwner is asked before each connection of a connector to a broker.
func (s *Supervisor) confirmOwner(ctx context.Context, name string) error {
	if s.opts.Share == nil {
		return nil
	}
	return s.opts.Share.Confirm(ctx, name)
}

// ownEntries returns the connectors that this worker runs or still drains, by name.
func (s *Supervisor) ownEntries() (all []*entry) {
	for _, e := range s.list() {
		s.mu.Lock()
		running := e.run != nil
		s.mu.Unlock()
		if running || s.runs(s.nameOf(e)) {
			all = append(all, e)
		}
	}
	return all
}

// Take starts the connectors that this worker runs now and that do not run yet. It does
// not wait for them.
func (s *Supervisor) Take() {
	select {
	case s.taken <- struct{}{}:
	default: // it is known already
	}
}

// Release drains the connectors for which gone is true, and returns when they have
// ended. Their sessions stay on the brokers. Share.Runs is false for them before the
// call.
func (s *Supervisor) Release(gone func(name string) bool) {
	var stopping sync.WaitGroup
	s.eachRunning(gone, func(e *entry) { stopping.Go(func() { s.stopForOthers(e) }) })
	stopping.Wait()
}

// Abandon stops connectors that other workers may run already, and does not wait.
func (s *Supervisor) Abandon(gone func(name string) bool) {
	s.eachRunning(gone, func(e *entry) {
		s.mu.Lock()
		e.cancelLocked()
		s.mu.Unlock()
		s.backgroundIfOpen(func() { s.stopForOthers(e) })
	})
}

func (s *Supervisor) eachRunning(is func(name string) bool, do func(*entry)) {
	for _, e := range s.list() {
		if is(s.nameOf(e)) {
			do(e)
		}
	}
}

// stopForOthers stops a connector unless it is this worker's again.
func (s *Supervisor) stopForOthers(e *entry) {
	name := s.nameOf(e)
	unlock, err := s.operations.lock(context.Background(), name)
	if err != nil {
		return // that context has no end
	}
	defer unlock()
	_ = s.stopRun(e) // Warnings reports what continues
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
		return e.run == nil && e.failed == nil && !paused(d) && s.runs(name) && !s.journal.Searching()
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
	if e != nil && s.undisturbed(e, d) {
		s.setDefinition(e, d)
		return e
	}
	own, err := s.sidesOf(d.Connector) // the sessions' owner reports that it cannot be read
	if sides, failed := s.sessions.SidesOf(d); err == nil && failed == nil {
		s.sessions.Settle(name, sides...)
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

// Mine returns the connectors that this worker runs, without their figures.
func (s *Supervisor) Mine() []connector.Status {
	entries := s.ownEntries()
	all := make([]connector.Status, len(entries))
	for i, e := range entries {
		all[i] = s.status(e)
	}
	return all
}
