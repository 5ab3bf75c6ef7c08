package supervisor

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// sweepEvery is how often the removal of a session is tried again.
const sweepEvery = 30 * time.Second

// remain keeps a session in mind that could not be removed yet.
func (s *Supervisor) remain(r store.Removed) {
	s.mu.Lock()
	s.remains = append(s.remains, r)
	s.mu.Unlock()
	select {
	case s.swept <- struct{}{}:
	default: // it is awake
	}
}

// sweep removes the sessions that remain. A broker may be gone for good: that it
// cannot be reached is a warning once.
func (s *Supervisor) sweep() {
	told := map[string]bool{}
	for {
		s.mu.Lock()
		all := slices.Clone(s.remains)
		s.mu.Unlock()
		for _, r := range all {
			at, err := sessionOf(s.effective(r.Connector).MQTT, s.files)
			if err == nil {
				err = s.clear(s.halted, r, at)
			}
			if err != nil && s.halted.Err() == nil {
				level := slog.LevelWarn
				if told[at.identity()] {
					level = slog.LevelDebug
				}
				told[at.identity()] = true
				s.log.Log(s.halted, level, "The session of a deleted connector remains on the MQTT broker: its removal is tried again",
					"connector", r.Connector.Name, "client_id", at.clientID, "error", hiding(r.Connector.MQTT, s.opts.MQTT).Replace(err.Error()))
			}
		}
		again := time.NewTimer(sweepEvery)
		select {
		case <-s.halted.Done():
		case <-s.swept:
		case <-again.C:
		}
		again.Stop()
		if s.halted.Err() != nil {
			return
		}
	}
}

// clear removes a session, unless a connector has it by now, and then its mark.
func (s *Supervisor) clear(ctx context.Context, r store.Removed, at session) error {
	unlock, err := s.sessions.lock(ctx, at.identity())
	if err != nil {
		return err
	}
	defer unlock()
	if !s.taken(at) {
		if err := at.forget(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.remains = slices.DeleteFunc(s.remains, func(o store.Removed) bool { return o.Is(r) })
	s.mu.Unlock()
	if err := s.store.Forget(r); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// taken tells whether a connector has the session. It clears it itself then,
// before its first start.
func (s *Supervisor) taken(at session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.session.identity() == at.identity() {
			return true
		}
	}
	return false
}
