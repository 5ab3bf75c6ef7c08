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
func (s *Supervisor) Create(ctx context.Context, c connector.Connector, how connector.CreateOptions) (connector.Result, error) {
	if err := connector.CheckName(c.Name); err != nil {
		return connector.Result{}, err
	}
	c, err := connector.KeepSecrets(c, connector.Connector{}) // refuses ***
	if err != nil {
		return connector.Result{}, err
	}
	sides, notes, err := s.validate(c)
	if err != nil {
		return connector.Result{}, err
	}
	if err := s.catchUp(ctx); err != nil {
		return connector.Result{}, err
	}
	unlock, err := s.operations.lock(ctx, c.Name)
	if err != nil {
		return connector.Result{}, err
	}
	defer unlock()
	if s.find(c.Name) != nil {
		return connector.Result{}, fmt.Errorf("creating %q: %w", c.Name, connector.ErrExists)
	}
	if s.isClosed() {
		return connector.Result{}, errClosed
	}

	now := time.Now()
	d := store.Definition{Connector: stamped(c, now, now), Actor: connector.ActorOf(ctx)}
	if how.Paused {
		d.Connector.Status = connector.WordStop
	}
	if err := s.takeSessions(c.Name, sides); err != nil {
		return connector.Result{}, err
	}
	if d, err = s.store.Create(d); err != nil {
		s.sessions.Restore(c.Name)
		return connector.Result{}, err
	}
	s.sessions.Settle(c.Name, sides...)
	s.mu.Lock()
	e := s.newEntryLocked(d)
	s.setLocked(e, d, sides)
	s.startLocked(e)
	s.mu.Unlock()
	return connector.Result{Revision: d.Revision, Notes: notes}, nil
}

// takeSessions takes the sessions of sides.
func (s *Supervisor) takeSessions(name string, sides []session.Side) error {
	err := s.sessions.Hold(name, sides...)
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

// Delete implements connector.Manager.
func (s *Supervisor) Delete(ctx context.Context, name string, how connector.DeleteOptions) (string, error) {
	others, err := s.holdElsewhere(ctx, name, func(e *entry) bool { return how.Expected.Find(name, e.stored(s).Revision) == nil })
	if err != nil {
		return "", fmt.Errorf("deleting %q: %w", name, err)
	}
	defer others.end()
	e, unlock, err := s.operate(ctx, "deleting", name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := how.Expected.Find(name, e.stored(s).Revision); err != nil {
		return "", err
	}
	s.mu.Lock()
	unread := e.unread
	s.mu.Unlock()
	if unread != nil {
		return s.deleteUnread(name, *unread, how)
	}
	if err := others.check(e); err != nil {
		return "", fmt.Errorf("deleting %q: %w", name, err)
	}
	wedged := s.stopRun(e)
	left, removeBuffer, err := s.release(e, how)
	if err != nil {
		s.mu.Lock()
		s.startLocked(e)
		s.mu.Unlock()
		return "", err
	}
	others.complete()
	s.dropEntry(name)
	var notes []string
	if err := removeBuffer(); err != nil {
		notes = append(notes, fmt.Sprintf("its disk buffer is removed when the service starts the next time: %v", err))
	}
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

// release removes a stopped connector from the store, with its disk buffer.
func (s *Supervisor) release(e *entry, how connector.DeleteOptions) (left store.Released, removeBuffer func() error, err error) {
	d := e.stored(s)
	if err := s.drainBuffer(e, how); err != nil {
		return left, nil, err
	}
	restore, removeBuffer, err := s.buffers.putAway(d.Connector.Name)
	if err != nil {
		return left, nil, err
	}
	if left, err = s.store.Release(d); err != nil {
		restore()
	}
	return left, removeBuffer, err
}

// stored returns the current definition of an entry.
func (e *entry) stored(s *Supervisor) store.Definition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.definition
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
	report.LastMessage, report.Lag = e.lastMessage(), e.figures.lag()
	report.LastError, report.LastErrorSince = e.lastError.get()
	return status, report, nil
}

// stamped returns c as it is stored: its reported values are set by this service.
func stamped(c connector.Connector, created, updated time.Time) connector.Connector {
	c.Tenant, c.Status, c.BrokerID = connector.DefaultTenant, "", ""
	c.CreateTime, c.UpdateTime = created.Format(time.RFC3339Nano), updated.Format(time.RFC3339Nano)
	return c
}

func createTime(c connector.Connector) time.Time { return timeOf(c.CreateTime) }

// timeOf reads a time in the format of stamped; other times are zero.
func timeOf(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
