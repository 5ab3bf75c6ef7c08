package supervisor

import (
	"context"
	"fmt"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// operate finds a connector for an operation, and keeps other operations on it waiting
// until unlock is called.
func (s *Supervisor) operate(ctx context.Context, doing, name string) (e *entry, unlock func(), err error) {
	if unlock, err = s.operations.lock(ctx, name); err != nil {
		return nil, nil, err
	}
	if e = s.find(name); e == nil {
		unlock()
		return nil, nil, fmt.Errorf("%s %q: %w", doing, name, connector.ErrNotFound)
	}
	return e, unlock, nil
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
	pauses := status == connector.WordStop
	others, err := s.holdElsewhere(ctx, name, func(e *entry) bool { return pauses && !paused(e.stored(s)) })
	if err != nil {
		return "", fmt.Errorf("%s %q: %w", doing, name, err)
	}
	defer others.end()
	e, unlock, err := s.operate(ctx, doing, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if s.isClosed() {
		return "", errClosed
	}
	if err := s.reread(e); err != nil {
		return "", fmt.Errorf("%s %q: %w", doing, name, err)
	}
	if !pauses {
		s.logJournal(s.journal.Release(name))
	}
	s.mu.Lock()
	failed := e.hasFailedLocked()
	s.mu.Unlock()
	differs := paused(e.stored(s)) != pauses
	if differs && pauses {
		if err := others.check(e); err != nil {
			return "", fmt.Errorf("%s %q: %w", doing, name, err)
		}
	}
	if failed || differs {
		err = s.changeStatus(e, status)
	}
	s.mu.Lock()
	s.startLocked(e)
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	if pauses {
		// The others let go of a connector that is paused: one that is resumed a moment later
		// has the revision for which they hold it.
		return wedgedNote("paused", s.wedged(name)), nil
	}
	note = wedgedNote("resumed", s.wedged(name))
	if !differs {
		note = joinNotes(note, s.afreshElsewhere(name, e.stored(s).Connector.Members(), ""))
	}
	return note, nil
}

func (s *Supervisor) changeStatus(e *entry, status string) error {
	_ = s.stopRun(e) // wedged reports what continues
	d := e.stored(s) // without sessions that were handed over in the meantime
	d.Connector.Status = status
	if err := s.store.Put(d); err != nil {
		return err
	}
	s.setDefinition(e, d)
	return nil
}

// Restart implements connector.Manager.
func (s *Supervisor) Restart(ctx context.Context, name string) (string, error) {
	others, err := s.holdElsewhere(ctx, name, func(e *entry) bool { return !paused(e.stored(s)) })
	if err != nil {
		return "", fmt.Errorf("restarting %q: %w", name, err)
	}
	defer others.end()
	e, unlock, err := s.operate(ctx, "restarting", name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if s.isClosed() {
		return "", errClosed
	}
	if err := s.reread(e); err != nil {
		return "", fmt.Errorf("restarting %q: %w", name, err)
	}
	if paused(e.stored(s)) {
		return "", fmt.Errorf("restarting %q: %w", name, connector.ErrPaused)
	}
	if err := others.check(e); err != nil {
		return "", fmt.Errorf("restarting %q: %w", name, err)
	}
	s.logJournal(s.journal.Release(name))
	// From here on the restart is completed even if the caller does not wait.
	wedged := s.stopRun(e)
	s.mu.Lock()
	s.startLocked(e)
	s.mu.Unlock()
	return joinNotes(wedgedNote("restarted", wedged), others.endAfresh()), nil
}

// joinNotes returns two notes as one. Either may be empty.
func joinNotes(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
