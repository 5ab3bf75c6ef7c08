package supervisor

import (
	"context"
	"crypto/rand"
	"fmt"
)

// elsewhere are the members of a connector that other workers hold for an operation of
// this one.
type elsewhere struct {
	s         *Supervisor
	name      string
	operation string
	revision  int
	members   int
	still     func() error // nil where nobody else has to hold any
	completed bool
}

// holdElsewhere lets other workers drain and hold the members of a connector, if it has
// several and the operation needs that. The error says why nothing can be changed.
func (s *Supervisor) holdElsewhere(ctx context.Context, name string, needs func(*entry) bool) (*elsewhere, error) {
	out := &elsewhere{s: s, name: name, members: 1}
	e := s.find(name)
	if s.opts.Share == nil || e == nil {
		return out, nil
	}
	d := e.stored(s)
	out.revision, out.members = d.Revision, d.Connector.Members()
	if out.members == 1 || !needs(e) {
		return out, nil
	}
	out.operation = rand.Text()
	var err error
	if out.still, err = s.opts.Share.Hold(ctx, name, d.Revision, out.members, out.operation); err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	return out, nil
}

// check returns nil if the members that run elsewhere are still held, immediately before a
// connector is changed. The caller holds its operation lock.
func (o *elsewhere) check(e *entry) error {
	if o.s.opts.Share == nil {
		return nil
	}
	d := e.stored(o.s)
	if d.Connector.Members() == 1 && o.members == 1 {
		return nil
	}
	if o.still == nil || d.Revision != o.revision {
		return fmt.Errorf("nothing was changed: %w", errChanged)
	}
	if err := o.still(); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	return nil
}

// complete leaves the other workers to the store: they follow what it has now.
func (o *elsewhere) complete() { o.completed = true }

// end lets the other workers go on if nothing was changed.
func (o *elsewhere) end() {
	if o.still == nil || o.completed {
		return
	}
	if err := o.s.opts.Share.LetGo(o.name, o.members, o.operation, false); err != nil {
		o.s.log.Warn("A worker holds its members of a connector for a while, though nothing was changed", "connector", o.name, "error", err)
	}
}

// endAfresh lets them go on after a restart. The note says which worker does not answer.
func (o *elsewhere) endAfresh() (note string) {
	if o.still == nil {
		return ""
	}
	o.complete()
	return o.s.afreshElsewhere(o.name, o.members, o.operation)
}

// afreshElsewhere starts members again that have failed on other workers. The note says
// which worker does not answer.
func (s *Supervisor) afreshElsewhere(name string, members int, operation string) (note string) {
	if s.opts.Share == nil || members == 1 {
		return ""
	}
	if err := s.opts.Share.LetGo(name, members, operation, true); err != nil {
		return err.Error()
	}
	return ""
}
