package supervisor

import (
	"errors"
	"fmt"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// tellUnread logs what cannot be read in the store. All of it stays where it is.
func (s *Supervisor) tellUnread(all store.Contents) {
	if all.Version > store.Version {
		s.log.Warn("A newer version of this program wrote the store: connectors that this one cannot read have failed, and need the newer one",
			"store_version", all.Version, "known_version", store.Version)
	}
	for _, u := range all.Unreadable {
		s.log.Error("Cannot read the definition of a connector: it does not run. It stays as it is: correct it and resume the connector, or update or delete it",
			"connector", u.Name, "file", u.File, "error", u.Why)
	}
	for _, u := range all.Ignored {
		s.log.Error("Cannot read an entry of the store: it is ignored and stays as it is", "file", u.File, "error", u.Why)
	}
	if n := len(all.Unreadable); n > 0 {
		s.log.Error("Connectors do not run because their definitions cannot be read", "failed", n, "of", n+len(all.Definitions))
	}
}

func unreadFailure(u store.Unreadable) *failure {
	if errors.Is(u.Why, store.ErrNewer) {
		return &failure{since: time.Now(), why: fmt.Sprintf("its definition needs a newer version of this program, and stays as it is: %v (%s)", u.Why, u.File)}
	}
	return &failure{since: time.Now(), why: fmt.Sprintf("its definition cannot be read: %v (%s); correct it and resume the connector, or update or delete it", u.Why, u.File)}
}

// reread retries a definition that could not be read.
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
		return fmt.Errorf("its file now holds connector %q: restart the service", d.Connector.Name)
	}
	all, _, err := s.validate(d.Connector)
	if err != nil {
		return err
	}
	if err := s.takeSessions(d.Connector.Name, all); err != nil {
		return err
	}
	sides, err := s.sessions.SidesOf(d)
	if err != nil {
		return err
	}
	s.sessions.Settle(d.Connector.Name, sides...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setLocked(e, d, all)
	return nil
}

// deleteUnread removes a connector whose definition cannot be read. Its file is kept,
// because it may contain what nobody else knows.
func (s *Supervisor) deleteUnread(name string, u store.Unreadable, how connector.DeleteOptions) (string, error) {
	if waiting, err := s.buffers.waiting(name); !how.DiscardWaiting && (waiting > 0 || err != nil) {
		return "", errors.Join(fmt.Errorf("deleting %q: messages wait in its disk buffer, and its definition cannot be read: nothing was deleted; correct the file and resume it, or delete with discard_waiting to discard them", name), err)
	}
	restore, remove, err := s.buffers.putAway(name)
	if err != nil {
		return "", fmt.Errorf("deleting %q: %w", name, err)
	}
	aside, err := s.store.Discard(u)
	if err != nil {
		restore()
		return "", fmt.Errorf("deleting %q: %w", name, err)
	}
	if err := remove(); err != nil {
		s.log.Warn("A disk buffer is removed when the service starts the next time", "connector", name, "error", err)
	}
	s.dropEntry(name)
	s.sessions.Settle(name)
	return fmt.Sprintf("the definition could not be read and is kept as %s; sessions that it may have on MQTT brokers are not known and stay there", aside), nil
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
