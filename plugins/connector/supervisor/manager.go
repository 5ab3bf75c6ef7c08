package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Create implements connector.Manager.
func (s *Supervisor) Create(ctx context.Context, c connector.Connector, how connector.CreateOptions) ([]string, error) {
	if err := connector.CheckName(c.Name); err != nil {
		return nil, err
	}
	c, err := connector.KeepSecrets(c, connector.Connector{}) // refuses ***
	if err != nil {
		return nil, err
	}
	side, notes, err := s.validate(c)
	if err != nil {
		return nil, err
	}
	unlock, err := s.operations.lock(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s.find(c.Name) != nil {
		return nil, fmt.Errorf("creating %q: %w", c.Name, connector.ErrExists)
	}
	if s.isClosed() {
		return nil, errClosed
	}

	now := time.Now()
	d := store.Definition{Connector: stamped(c, now, now)}
	if how.Paused {
		d.Connector.Status = connector.WordStop
	}
	if err := s.hold(c.Name, side); err != nil {
		return nil, err
	}
	if err := s.store.Put(d); err != nil {
		s.sessions.Restore(c.Name)
		return nil, err
	}
	s.sessions.Settle(c.Name, side)
	s.mu.Lock()
	e := s.newEntryLocked(d)
	e.side = side
	s.startLocked(e)
	s.mu.Unlock()
	return notes, nil
}

// hold takes the sessions of a side.
func (s *Supervisor) hold(name string, side session.Side) error {
	err := s.sessions.Hold(name, side)
	var taken *session.TakenError
	if errors.As(err, &taken) {
		return &connector.InvalidError{Field: "config.client_id", Why: taken.Error()}
	}
	return err
}

func (s *Supervisor) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Update implements connector.Manager.
func (s *Supervisor) Update(ctx context.Context, c connector.Connector, how connector.UpdateOptions) ([]string, error) {
	unlock, err := s.operations.lock(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	e := s.find(c.Name)
	if e == nil {
		return nil, fmt.Errorf("updating %q: %w", c.Name, connector.ErrNotFound)
	}
	if s.isClosed() {
		return nil, errClosed
	}
	if c, err = connector.KeepSecrets(c, e.stored(s).Connector); err != nil {
		return nil, err
	}
	side, notes, err := s.validate(c)
	if err != nil {
		return nil, err
	}
	if err := s.hold(c.Name, side); err != nil {
		return nil, err
	}

	// From here on it is done, whether or not the caller waits.
	wedged := s.stopRun(e)
	given, err := s.replace(e, c, side, how)
	if err == nil {
		s.logJournal(s.journal.Release(c.Name)) // the new definition may be at fault no more
	}
	s.mu.Lock()
	s.startLocked(e)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if note := wedgedNote("updated", wedged); note != "" {
		given = append(given, note)
	}
	return append(given, notes...), nil
}

// stored is the definition of an entry as it is now.
func (e *entry) stored(s *Supervisor) store.Definition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.definition
}

// replace stores a new definition for a connector that does not run. The notes say
// what becomes of the sessions that it gives up.
func (s *Supervisor) replace(e *entry, c connector.Connector, side session.Side, how connector.UpdateOptions) (notes []string, err error) {
	s.mu.Lock()
	before, was, unread := e.definition, e.side, e.unread
	s.mu.Unlock()
	created := createTime(before.Connector)
	if unread != nil {
		created = time.Now()
	}
	// What was to be read of the sessions that it had until now is found again below.
	d := store.Definition{Connector: stamped(c, created, time.Now()), HandOver: stillGivenUp(stillGivenUp(before.HandOver, was, s.sideOf), side, s.sideOf)}
	d.Connector.Status = before.Connector.Status

	given, refiltered := s.sessions.GivenUp(was, side), s.sessions.Refiltered(side)
	discarded := 0
	switch {
	case how.DiscardWaiting:
		discarded = len(given) + len(d.HandOver)
		d.HandOver = nil
	case len(given) > 0:
		d.HandOver = append(d.HandOver, store.HandOver{From: before.Connector, Endpoints: given})
	}
	if len(refiltered) > 0 && !how.DiscardWaiting {
		// The session stays, and so it is read with the login of today.
		d.HandOver = append(d.HandOver, store.HandOver{From: d.Connector, Endpoints: refiltered})
		notes = append(notes, filterNote(side, refiltered, paused(d)))
	}
	// A mark comes first: after a crash in between, it names the sessions of a
	// connector that lives, and is dropped.
	var left *store.Released
	if discarded > 0 {
		r, err := s.store.Mark(before)
		if err != nil {
			return nil, s.unheld(e, err)
		}
		left = &r
	}
	if unread != nil {
		aside, err := s.store.SetAside(*unread)
		if err != nil {
			return nil, s.unheld(e, err)
		}
		notes = append(notes, fmt.Sprintf("the definition that could not be read is kept as %s; sessions that it may have on MQTT brokers are not known and stay there", aside))
	}
	if err := s.store.Put(d); err != nil {
		if left != nil {
			err = errors.Join(err, s.store.Forget(*left))
		}
		return nil, s.unheld(e, err)
	}
	sides, err := s.sessions.SidesOf(d)
	if err != nil {
		return nil, err
	}
	s.sessions.Settle(c.Name, sides...)
	s.mu.Lock()
	e.definition, e.side, e.unread, e.failed = d, side, nil, nil
	e.hide.Store(hiding(d.Connector.MQTT, d.Connector.Kafka.More))
	s.mu.Unlock()
	if left != nil {
		if err := s.sessions.GiveUp(*left); err != nil {
			s.log.Error("Cannot look after the sessions that an update gave up", "connector", c.Name, "error", err)
		}
	}
	if len(given) > 0 || discarded > 0 {
		notes = append(notes, givenUpNote(was, side, given, paused(d), how.DiscardWaiting))
	}
	return notes, nil
}

// unheld gives the sessions back that a failed update has taken.
func (s *Supervisor) unheld(e *entry, err error) error {
	s.mu.Lock()
	d, unread := e.definition, e.unread
	s.mu.Unlock()
	if unread != nil {
		s.sessions.Restore(d.Connector.Name)
		return err
	}
	sides, failed := s.sessions.SidesOf(d)
	if failed == nil {
		s.sessions.Restore(d.Connector.Name, sides...)
	}
	return err
}

// Delete implements connector.Manager.
func (s *Supervisor) Delete(ctx context.Context, name string) (string, error) {
	unlock, err := s.operations.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	e := s.find(name)
	if e == nil {
		return "", fmt.Errorf("deleting %q: %w", name, connector.ErrNotFound)
	}
	s.mu.Lock()
	unread := e.unread
	s.mu.Unlock()
	if unread != nil {
		return s.deleteUnread(name, *unread)
	}
	wedged := s.stopRun(e)
	left, err := s.store.Release(e.stored(s))
	if err != nil {
		s.mu.Lock()
		s.startLocked(e)
		s.mu.Unlock()
		return "", err
	}
	s.mu.Lock()
	delete(s.entries, name)
	s.mu.Unlock()
	var notes []string
	if note := wedgedNote("deleted", wedged); note != "" {
		notes = append(notes, note)
	}
	s.sessions.Settle(name)
	remains, err := s.sessions.Clear(context.WithoutCancel(ctx), left)
	if err != nil {
		return "", fmt.Errorf("the connector is deleted, but %w", err)
	}
	for _, note := range remainsNotes(remains) {
		notes = append(notes, e.hide.Load().Replace(note))
	}
	return strings.Join(notes, "; "), nil
}

// deleteUnread takes a connector out whose definition cannot be read. Its file is
// kept: it may hold what nobody else knows.
func (s *Supervisor) deleteUnread(name string, u store.Unreadable) (string, error) {
	aside, err := s.store.SetAside(u)
	if err != nil {
		return "", fmt.Errorf("deleting %q: %w", name, err)
	}
	s.mu.Lock()
	delete(s.entries, name)
	s.mu.Unlock()
	s.sessions.Settle(name)
	return fmt.Sprintf("the definition could not be read and is kept as %s; sessions that it may have on MQTT brokers are not known and stay there", aside), nil
}

// Pause implements connector.Manager.
func (s *Supervisor) Pause(ctx context.Context, name string) (string, error) {
	return s.setStatus(ctx, "pausing", name, connector.WordStop)
}

// Resume implements connector.Manager.
func (s *Supervisor) Resume(ctx context.Context, name string) (string, error) {
	return s.setStatus(ctx, "resuming", name, "")
}

func (s *Supervisor) setStatus(ctx context.Context, doing, name, status string) (note string, err error) {
	unlock, err := s.operations.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	e := s.find(name)
	if e == nil {
		return "", fmt.Errorf("%s %q: %w", doing, name, connector.ErrNotFound)
	}
	if s.isClosed() {
		return "", errClosed
	}
	if err := s.reread(e); err != nil {
		return "", fmt.Errorf("%s %q: %w", doing, name, err)
	}
	if status == "" {
		s.logJournal(s.journal.Release(name))
	}
	s.mu.Lock()
	failed := e.failed != nil
	s.mu.Unlock()
	if failed || e.stored(s).Connector.Status != status {
		err = s.changeStatus(e, status)
	}
	s.mu.Lock()
	s.startLocked(e)
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	done := "resumed"
	if status == connector.WordStop {
		done = "paused"
	}
	return wedgedNote(done, s.wedged(name)), nil
}

// reread tries a definition again that could not be read.
func (s *Supervisor) reread(e *entry) error {
	s.mu.Lock()
	unread := e.unread
	s.mu.Unlock()
	if unread == nil {
		return nil
	}
	d, err := s.store.Retry(*unread)
	if err != nil {
		again := *unread
		again.Why = err
		s.mu.Lock()
		e.unread, e.failed = &again, unreadFailure(again)
		s.mu.Unlock()
		return errors.New(unreadFailure(again).why)
	}
	if d.Connector.Name != e.stored(s).Connector.Name {
		return fmt.Errorf("its file holds connector %q by now: restart the service", d.Connector.Name)
	}
	side, _, err := s.validate(d.Connector)
	if err != nil {
		return err
	}
	if err := s.hold(d.Connector.Name, side); err != nil {
		return err
	}
	sides, err := s.sessions.SidesOf(d)
	if err != nil {
		return err
	}
	s.sessions.Settle(d.Connector.Name, sides...)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.definition, e.side, e.unread, e.failed = d, side, nil, nil
	e.hide.Store(hiding(d.Connector.MQTT, d.Connector.Kafka.More))
	return nil
}

func (s *Supervisor) changeStatus(e *entry, status string) error {
	_ = s.stopRun(e) // what goes on is told by wedged
	d := e.stored(s) // without what was handed over meanwhile
	d.Connector.Status = status
	if err := s.store.Put(d); err != nil {
		return err
	}
	s.setDefinition(e, d)
	return nil
}

func (s *Supervisor) find(name string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries[name]
}

// List implements connector.Manager.
func (s *Supervisor) List() []connector.Status {
	entries := s.list()
	all := make([]connector.Status, len(entries))
	for i, e := range entries {
		all[i] = s.status(e)
	}
	return all
}

// Detail implements connector.Manager.
func (s *Supervisor) Detail(name string) (connector.Status, connector.Figures, error) {
	e := s.find(name)
	if e == nil {
		return connector.Status{}, connector.Figures{}, fmt.Errorf("looking up %q: %w", name, connector.ErrNotFound)
	}
	status, report := s.status(e), e.figures.report()
	report.LastError, report.LastErrorSince = e.lastError.get()
	return status, report, nil
}

// unreadable counts the connectors whose definitions cannot be read.
func (s *Supervisor) unreadable() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.unread != nil {
			n++
		}
	}
	return n
}

// stamped is c as it is stored: of what a description reports, only what this
// service says.
func stamped(c connector.Connector, created, updated time.Time) connector.Connector {
	c.Tenant, c.Status, c.BrokerID = connector.DefaultTenant, "", ""
	c.CreateTime, c.UpdateTime = created.Format(time.RFC3339Nano), updated.Format(time.RFC3339Nano)
	return c
}

func createTime(c connector.Connector) time.Time { return timeOf(c.CreateTime) }

// timeOf reads a time that stamped wrote; of another one there is none.
func timeOf(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
