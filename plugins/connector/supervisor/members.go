package supervisor

import (
	"slices"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// A connector with parallelism has several members. The first one is the entry of the
// connector; the others have entries of their own in it, with their own runs and sessions,
// and with the figures and the last error of the connector. All operations are on the
// connector. Sessions that an update gave up are read by the first member, before the
// others start.
//
// Where workers share the connectors, each has entries for all members, and runs those that
// are its own. The worker of the first member is the owner: it hands over and removes
// sessions, and operations are done there. Before one that changes or clears sessions, the
// other workers drain and hold their members (hold.go).

// setLocked gives a connector that is stopped its definition and the sides of its members,
// none if they cannot be read.
func (s *Supervisor) setLocked(e *entry, d store.Definition, sides []session.Side) {
	before := e.members
	e.members = nil
	for i := 1; i < d.Connector.Members(); i++ {
		s.ids++
		m := &entry{id: s.ids, figures: e.figures, lastError: e.lastError, tail: e.tail}
		s.byID[m.id] = m
		e.members = append(e.members, m)
	}
	for _, old := range before {
		delete(s.byID, old.id)
		if old.unsettled.Load() { // the first member reads what waits in its session
			e.unsettled.Store(true)
		}
	}
	for i, one := range e.all() {
		one.definition, one.unread, one.failed, one.hold = d, nil, nil, nil
		one.definition.Connector = d.Connector.WithMember(i)
		if one.side = (session.Side{}); i < len(sides) {
			one.side = sides[i]
		}
		one.hide.Store(hiding(d.Connector.MQTT, d.Connector.Kafka.More))
	}
}

// all returns the members of a connector, the first one first.
func (e *entry) all() []*entry { return append([]*entry{e}, e.members...) }

func (e *entry) sidesLocked() []session.Side {
	var all []session.Side
	for _, one := range e.all() {
		all = append(all, one.side)
	}
	return all
}

// membersOf is all for callers without the mutex.
func (s *Supervisor) membersOf(e *entry) []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.all()
}

// hasFailedLocked reports whether a member does not continue until somebody acts.
func (e *entry) hasFailedLocked() bool {
	return slices.ContainsFunc(e.all(), func(one *entry) bool { return one.failed != nil })
}

// startMembers starts the members behind the first one that run here, once the sessions
// that an update gave up are read. r is the run of the first one.
func (s *Supervisor) startMembers(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.stopping && len(r.entry.members) > 0 {
		s.startLocked(r.entry)
	}
}

// waiting are sessions in which messages may wait that an update would leave there.
type waiting struct{ given, refiltered []store.HandOver }

// inTurn returns them in the order in which they are read. The sessions of members that go
// follow that of the first one, which is subscribed before they are: some brokers (mochi)
// refuse that while messages wait in it.
func (w waiting) inTurn() []store.HandOver {
	if len(w.given) > 0 && w.given[0].From.Members() > 1 {
		return append(w.refiltered, w.given...)
	}
	return append(w.given, w.refiltered...)
}

// waitingIn finds the sessions that an update gives up, or whose filter it changes. The
// notes say what happens to them.
func (s *Supervisor) waitingIn(before, now connector.Connector, was, is []session.Side, paused, discard bool) (all waiting, notes []string) {
	for i, side := range is {
		endpoints := s.sessions.Refiltered(side)
		if len(endpoints) == 0 || discard {
			continue
		}
		// The session stays, so it is read with the current login.
		all.refiltered = append(all.refiltered, store.HandOver{From: now.WithMember(i), Endpoints: endpoints})
		notes = append(notes, filterNote(side, endpoints, paused))
	}
	for i, side := range was {
		given := s.sessions.GivenUp(side, is...)
		if len(given) == 0 {
			continue
		}
		all.given = append(all.given, store.HandOver{From: before.WithMember(i), Endpoints: given})
		notes = append(notes, givenUpNote(side, is[0], given, paused, discard))
	}
	return all, notes
}
