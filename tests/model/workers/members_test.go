package workers

import (
	"fmt"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// handsOver reports whether the first member of a connector delivers what waits in sessions
// that an update gave up, or whose filter it changed. The others do not run meanwhile.
func handsOver(status connector.Status) bool {
	return len(status.Waits) > 0 && status.Waits[0].For == connector.NeedUpdate
}

// handedOver reports whether a worker does that for a connector.
func (w *world) handedOver(s *subject) bool {
	for _, k := range w.living() {
		if _, sup := k.parts(); sup != nil {
			if status, _, err := sup.Detail(s.name); err == nil && handsOver(status) {
				return true
			}
		}
	}
	return false
}

// allRun reports whether all members of a connector are connected, or one of them reads
// what waits.
func (w *world) allRun(s *subject, now state) bool {
	reads, all := false, true
	for member, id := range s.clientIDs() {
		runs := w.broker.running(id) != nil
		reads = reads || runs
		all = all && (runs || member >= now.members)
	}
	return all || reads && w.handedOver(s)
}

// ownerOf returns the only worker that runs a member.
func (w *world) ownerOf(s *subject, member int) (owner *worker, err error) {
	for _, k := range w.living() {
		service, _ := k.parts()
		if service == nil {
			return nil, fmt.Errorf("%s has ended", k.name)
		}
		if !service.Runs(s.name, member) {
			continue
		}
		if owner != nil {
			return nil, fmt.Errorf("%s and %s own member %d of %s", owner.name, k.name, member, s.name)
		}
		owner = k
	}
	if owner == nil {
		return nil, fmt.Errorf("nobody owns member %d of %s", member, s.name)
	}
	return owner, nil
}

// placementOf returns why a member is not connected by its worker alone. live is its
// connection.
func (w *world) placementOf(s *subject, is state, member int, live *session) error {
	owner, err := w.ownerOf(s, member)
	if err != nil {
		return err
	}
	switch {
	case !is.exists || is.paused || member >= is.members:
		if live != nil {
			return fmt.Errorf("%s is %s, and %s runs member %d", s.name, is, live.worker, member)
		}
	case live == nil:
		return fmt.Errorf("member %d of %s is not connected", member, s.name)
	case live.worker != owner.name:
		return fmt.Errorf("member %d of %s belongs to %s, and %s runs it", member, s.name, owner.name, live.worker)
	}
	return nil
}

// heldBy returns which member is connected by a worker other than the owner, which alone
// reads what waits.
func (w *world) heldBy(owner *worker, s *subject) error {
	for member, id := range s.clientIDs() {
		if live := w.broker.running(id); live != nil && live.worker != owner.name {
			return fmt.Errorf("%s delivers what waits in sessions of %s, and %s runs member %d", owner.name, s.name, live.worker, member)
		}
	}
	return nil
}

// incomplete returns which session is left of a connector that was deleted, or of a member
// that an update removed.
func (w *world) incomplete() error {
	for _, s := range w.names {
		now, _ := s.certain()
		if w.handedOver(s) {
			return fmt.Errorf("%s delivers what waits in sessions", s.name)
		}
		for member, id := range s.clientIDs() {
			if (!now.exists || member >= now.members) && w.broker.remembers(id) {
				return fmt.Errorf("%s is %s, and the session %s is still there", s.name, now, id)
			}
		}
	}
	return nil
}
