package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

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
			s.log.Error("Cannot deliver and remove the sessions that an update gave up", "connector", c.Name, "error", err)
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
