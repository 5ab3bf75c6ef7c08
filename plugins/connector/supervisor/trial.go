package supervisor

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/probation"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Faults that the runtime cannot recover from end the process. These functions find the
// connector that causes them, over several starts, and quarantine it; the rules are in
// package probation.

// startGap is the time between the starts of connectors on trial: if one ends the
// process at once, it is known to be the last one started.
const startGap = 20 * time.Millisecond

// LastCrash keeps what the runtime writes when it ends the process, and returns what it
// wrote when it ended the last one, empty if it wrote nothing. It applies to the whole
// process.
func LastCrash(notes store.Notes) (trace string, err error) {
	if !notes.Kept() {
		return "", nil
	}
	now, last := notes.File("crash.log").Path(), notes.File("crash-last.log").Path()
	if file, err := os.Open(now); err == nil {
		text, err := io.ReadAll(io.LimitReader(file, 64<<10))
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return "", fmt.Errorf("reading how the last run ended: %w", err)
		}
		if trace = string(text); trace != "" {
			if err := os.Rename(now, last); err != nil {
				return trace, fmt.Errorf("keeping how the last run ended: %w", err)
			}
		}
	}
	file, err := os.OpenFile(now, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = debug.SetCrashOutput(file, debug.CrashOptions{})
		if closed := file.Close(); err == nil { // the runtime has a descriptor of its own
			err = closed
		}
	}
	if err != nil {
		return trace, fmt.Errorf("preparing to keep how this run ends: %w", err)
	}
	return trace, nil
}

// begin starts the connectors of the store, all at once or by trials.
func (s *Supervisor) begin() {
	var names []string
	for _, e := range s.list() {
		if s.mayRun(e) {
			names = append(names, s.nameOf(e))
		}
	}
	trace := s.opts.LastCrash
	if trace != "" {
		s.log.Error("The last run was ended by the runtime: report it with this trace", "trace", s.opts.Notes.File("crash-last.log").Path())
	}
	note, err := s.journal.Begin(names, trace)
	s.logJournal(err)
	if note != "" {
		s.log.Error("Looking for the connector that ends the process: " + note)
	}
	s.mu.Lock()
	s.began = true
	s.mu.Unlock()
	s.startWhere(func(name string) bool { _, held := s.journal.Held(name); return held }, 0) // and tell so
	if s.journal.Searching() {
		s.background(s.search)
		return
	}
	s.startWhere(func(string) bool { return true }, 0)
	s.background(s.recordSurvival)
}

func (s *Supervisor) mayRun(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.unread == nil && !paused(e.definition)
}

// logJournal logs that the journal could not be written: the service works without it.
func (s *Supervisor) logJournal(err error) {
	if err != nil {
		s.log.Warn("The next start may not know how this one ended", "error", err)
	}
}

// search starts connectors group by group. Each group starts only if the process has
// survived the group before.
func (s *Supervisor) search() {
	for {
		trial, ok, err := s.journal.Next()
		s.logJournal(err)
		if !ok {
			break
		}
		if !trial.Alone {
			s.startWhere(func(name string) bool { return !s.journal.Suspected(name) }, 0)
		}
		s.log.Info("Connectors are on trial, because the last runs ended early", "connectors", trial.Names, "alone", trial.Alone, "for", trial.For)
		s.startWhere(func(name string) bool { return slices.Contains(trial.Names, name) }, startGap)
		if !s.sleep(trial.For) {
			return
		}
		s.logJournal(s.journal.Survived())
	}
	s.startWhere(func(string) bool { return true }, 0)
	s.recordSurvival()
}

// recordSurvival records after a while that this run works.
func (s *Supervisor) recordSurvival() {
	if s.sleep(probation.SettleAfter) {
		s.logJournal(s.journal.Settle())
	}
}

// sleep returns false if the service ends in the meantime.
func (s *Supervisor) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.halted.Done():
		return false
	}
}

// startWhere starts the selected connectors that should run and do not yet.
func (s *Supervisor) startWhere(is func(name string) bool, gap time.Duration) {
	for _, e := range s.list() {
		name := s.nameOf(e)
		if !is(name) {
			continue
		}
		unlock, err := s.operations.lock(s.halted, name)
		if err != nil {
			return // the service ends
		}
		s.mu.Lock()
		started := false
		if s.entries[name] == e {
			started = s.startLocked(e)
		}
		s.mu.Unlock()
		unlock()
		if started && gap > 0 && !s.sleep(gap) {
			return
		}
	}
}

// startLocked starts a connector that should run, does not yet, and is not quarantined.
func (s *Supervisor) startLocked(e *entry) (started bool) {
	due := s.dueLocked(e)
	if len(due) == 0 {
		return false
	}
	name := e.definition.Connector.Name
	if v, held := s.journal.Held(name); held {
		for _, one := range due {
			one.failed = &failure{since: v.Since, why: "quarantined, because it ended the process whenever it ran alone: " + v.Why + "; resume or update starts it again", quarantined: true}
		}
		return false
	}
	s.logJournal(s.journal.Started(name))
	for _, one := range due {
		one.failed = nil
		one.run = s.startRun(one, one.definition)
	}
	return true
}

// dueLocked returns the members of a connector that should run here and do not yet, also
// those that are quarantined. While the first one delivers what an update gave up, the
// others wait.
func (s *Supervisor) dueLocked(e *entry) (due []*entry) {
	if e.unread != nil || e.hold != nil || s.closed || paused(e.definition) {
		return nil
	}
	for i, one := range e.all() {
		if i > 0 && len(e.definition.HandOver) > 0 {
			break
		}
		if one.run == nil && s.runs(e.definition.Connector.Name, i) {
			due = append(due, one)
		}
	}
	return due
}

// whyNotStarted returns what a member without a run waits for.
func (s *Supervisor) whyNotStarted(e *entry) connector.Wait {
	s.mu.Lock()
	name, member := e.definition.Connector.Name, e.definition.Connector.Member
	held, handsOver := e.hold != nil, len(e.definition.HandOver) > 0
	s.mu.Unlock()
	w := connector.Wait{For: connector.NeedStart, Since: time.Now(), Why: "it is being started or stopped"}
	switch {
	case !s.runs(name, member):
		w.Why = "another worker runs it"
		return w
	case held:
		w.Why = "it is drained for a change"
		return w
	case handsOver && member > 0:
		w.Why = "the first member delivers messages that wait in sessions before the update takes effect"
		return w
	}
	if s.journal.Searching() {
		w.Why = "the last runs of the service ended soon after their start: connectors start in groups until the one at fault is found"
	}
	return w
}
