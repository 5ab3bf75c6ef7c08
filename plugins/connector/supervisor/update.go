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
func (s *Supervisor) Update(ctx context.Context, c connector.Connector, how connector.UpdateOptions) (connector.Result, error) {
	return s.change(ctx, c.Name, how, func(stored store.Definition) (connector.Connector, error) {
		return connector.KeepSecrets(c, stored.Connector)
	})
}

// change replaces the definition of a connector by the result of next.
func (s *Supervisor) change(ctx context.Context, name string, how connector.UpdateOptions, next func(stored store.Definition) (connector.Connector, error)) (connector.Result, error) {
	if err := s.catchUp(ctx); err != nil {
		return connector.Result{}, err
	}
	// A change that is refused, or of labels alone, disturbs no member.
	others, err := s.holdElsewhere(ctx, name, func(e *entry) bool {
		one, err := s.judgeChange(e, how, next)
		return err == nil && !s.labelsAlone(e, one.before, one.c, how)
	})
	if err != nil {
		return connector.Result{}, err
	}
	defer others.end()
	if others.still != nil {
		if err := s.catchUp(ctx); err != nil { // with what they have recorded
			return connector.Result{}, err
		}
	}
	e, unlock, err := s.operate(ctx, "updating", name)
	if err != nil {
		return connector.Result{}, err
	}
	defer unlock()
	if s.isClosed() {
		return connector.Result{}, errClosed
	}
	one, err := s.judgeChange(e, how, next)
	if err != nil {
		return connector.Result{}, err
	}
	if s.labelsAlone(e, one.before, one.c, how) {
		result, err := s.relabel(ctx, e, one.before, one.c.Labels)
		result.Notes = append(result.Notes, one.notes...)
		return result, err
	}
	if err := others.check(e); err != nil {
		return connector.Result{}, err
	}
	if err := s.takeSessions(name, one.sides); err != nil {
		return connector.Result{}, err
	}

	// From here on the change is completed even if the caller does not wait.
	wedged := s.stopRun(e)
	result, err := s.replace(e, one.c, one.sides, connector.ActorOf(ctx), how)
	if err == nil {
		others.complete()
		s.logJournal(s.journal.Release(name)) // the new definition may no longer be at fault
	}
	s.mu.Lock()
	s.startLocked(e)
	s.mu.Unlock()
	if err != nil {
		return connector.Result{}, err
	}
	if note := wedgedNote("updated", wedged); note != "" {
		result.Notes = append(result.Notes, note)
	}
	result.Notes = append(result.Notes, one.notes...)
	return result, nil
}

// judged is a change of a connector that may be made.
type judged struct {
	before store.Definition
	c      connector.Connector
	sides  []session.Side
	notes  []string
}

// judgeChange returns what a change makes of the connector as it is.
func (s *Supervisor) judgeChange(e *entry, how connector.UpdateOptions, next func(stored store.Definition) (connector.Connector, error)) (one judged, err error) {
	one.before = e.stored(s)
	before := one.before.Connector
	if err := how.Expected.Find(before.Name, one.before.Revision); err != nil {
		return judged{}, err
	}
	c, err := next(one.before)
	if err != nil {
		return judged{}, err
	}
	if c.Labels == nil {
		c.Labels = before.Labels
	}
	if before.IsSource() != c.IsSource() && before.Kafka.BootstrapServers != "" { // one that cannot be read has none
		return judged{}, &connector.InvalidError{Field: "connector_type", Why: "a connector keeps its type: delete it and create another one"}
	}
	one.c = c
	one.sides, one.notes, err = s.validate(c)
	return one, err
}

// replace stores a new definition for a stopped connector. The notes say what happens
// to the sessions that it gives up.
func (s *Supervisor) replace(e *entry, c connector.Connector, sides []session.Side, actor string, how connector.UpdateOptions) (connector.Result, error) {
	s.mu.Lock()
	before, was, unread := e.definition, e.sidesLocked(), e.unread
	s.mu.Unlock()
	created := createTime(before.Connector)
	if unread != nil {
		created = time.Now()
	}
	// Sessions of the former side that have to be read are added below.
	d := store.Definition{Connector: stamped(c, created, time.Now()), Actor: actor, HandOver: stillGivenUp(stillGivenUp(before.HandOver, was, s.sideOf), sides, s.sideOf)}
	d.Connector.Status = before.Connector.Status

	waiting, notes := s.waitingIn(before.Connector, d.Connector, was, sides, paused(d), how.DiscardWaiting)
	discarded := 0
	if how.DiscardWaiting {
		discarded, d.HandOver = len(waiting.given)+len(d.HandOver), nil
	} else {
		d.HandOver = append(d.HandOver, waiting.inTurn()...)
	}
	if len(waiting.given) == 0 && discarded > 0 {
		notes = append(notes, givenUpNote(was[0], sides[0], nil, paused(d), true))
	}
	// The mark is written first: after a crash in between, it names the sessions of a
	// connector that exists, and is dropped.
	var left *store.Released
	if discarded > 0 {
		r, err := s.store.Mark(before)
		if err != nil {
			return connector.Result{}, s.unheld(e, err)
		}
		left = &r
	}
	replaced := &before
	if unread != nil {
		replaced = nil
		aside, err := s.store.SetAside(*unread)
		if err != nil {
			return connector.Result{}, s.unheld(e, err)
		}
		notes = append(notes, fmt.Sprintf("the definition that could not be read is kept as %s; sessions that it may have on MQTT brokers are not known and stay there", aside))
	}
	d, aside, err := s.store.Revise(replaced, d)
	if err != nil {
		if left != nil {
			err = errors.Join(err, s.store.Forget(*left))
		}
		return connector.Result{}, s.unheld(e, err)
	}
	if aside != "" {
		notes = append(notes, historyNote(aside))
	}
	held, err := s.sessions.SidesOf(d)
	if err != nil {
		return connector.Result{}, err
	}
	s.sessions.Settle(c.Name, held...)
	s.mu.Lock()
	e.figures.setSource(d.Connector.IsSource()) // one that could not be read may be any
	s.setLocked(e, d, sides)
	s.mu.Unlock()
	if left != nil {
		if err := s.sessions.GiveUp(*left); err != nil {
			s.log.Error("Cannot deliver and remove the sessions that an update gave up", "connector", c.Name, "error", err)
		}
	}
	return connector.Result{Revision: d.Revision, Notes: notes}, nil
}

// unheld returns the sessions that a failed update has taken.
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
