// Package probation finds the connector that ends the process.
//
// A panic in our own code ends one connector. Faults that the runtime cannot recover
// from (a stack overflow, out of memory, a panic in a goroutine of a library) end the
// process, and the next start would end the same way. So a journal on disk tells the
// next start how the last run ended. After a few deaths within a minute of a start,
// connectors start in groups, each on trial for some seconds. If the process dies with
// a group, the next run halves that group, until one connector is left. It is convicted
// only by proof: it runs alone, and the process dies; nothing runs, and the process
// lives; it runs alone again, and the process dies again. A kill from outside does not
// depend on what runs, so it does not pass the proof.
package probation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Points for a death. A death that leaves a trace was a fault of the runtime; one
// without a trace may be a kill from outside, or the kernel's because of memory.
const (
	tracedDeath   = 4
	silentDeath   = 1
	searchFrom    = 8 // two deaths with a trace, or eight without
	tracedStrike  = 4
	silentStrike  = 2
	convictFrom   = 8 // two proofs with a trace, or four without
	firstTrial    = 10 * time.Second
	longestTrial  = time.Minute
	version       = 1
	outsideCredit = -40 // after a search that found a kill from outside, the next one starts later
)

// SettleAfter is how long a run must last to count as successful.
const SettleAfter = time.Minute

// File stores the journal. Write returns when the data outlives the process.
type File interface {
	Read() ([]byte, error) // nothing where there is none
	Write(data []byte) error
}

// Verdict is the reason why a connector is quarantined.
type Verdict struct {
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
}

// Trial is what runs next. Alone means that nothing else may run.
type Trial struct {
	Names []string
	Alone bool
	For   time.Duration
}

// Journal tells the next run how this one went. Its methods may be called from any
// goroutine.
type Journal struct {
	file File
	unit time.Duration // of trials: firstTrial but for tests

	mu    sync.Mutex
	names []string // that should run and are not quarantined
	state state
}

// state is the journal on disk.
type state struct {
	Version int `json:"version"`
	// Running is false after a clean stop, Settled is true after SettleAfter.
	Running bool `json:"running"`
	Settled bool `json:"settled"`
	Score   int  `json:"score"` // of deaths in a row, soon after a start

	Search      *search            `json:"search,omitempty"`
	Quarantined map[string]Verdict `json:"quarantined,omitempty"`
}

// search looks for the connectors at fault.
type search struct {
	Suspects []string      `json:"suspects"` // not known to be harmless, the most likely first
	Within   int           `json:"within"`   // this many of the first include one at fault
	Size     int           `json:"size"`     // how many are tried at once
	For      time.Duration `json:"for"`      // how long
	Trial    []string      `json:"trial"`    // what is being tried, in the order of starts

	// The proof against one connector.
	Accused string `json:"accused,omitempty"`
	Strikes int    `json:"strikes,omitempty"`
	Control bool   `json:"control,omitempty"` // nothing must run next
	Alone   bool   `json:"alone,omitempty"`   // the trial is part of the proof
}

// Open reads the journal. unit is the duration of a trial, ten seconds by default. The
// error means that the journal cannot be read; it starts empty then.
func Open(file File, unit time.Duration) (*Journal, error) {
	if unit <= 0 {
		unit = firstTrial
	}
	j := &Journal{file: file, unit: unit}
	data, err := file.Read()
	if err == nil && len(data) > 0 {
		err = json.Unmarshal(data, &j.state)
	}
	if err == nil && len(data) > 0 && j.state.Version != version {
		err = fmt.Errorf("it is of version %d, and this program knows version %d", j.state.Version, version)
	}
	if err != nil {
		j.state = state{}
		err = fmt.Errorf("reading the journal of starts: %w", err)
	}
	return j, err
}

// Begin records a start with the connectors that should run. trace is what the runtime
// wrote when it ended the last run, empty if it wrote nothing. The note is for the
// operator.
func (j *Journal) Begin(names []string, trace string) (note string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.state
	died := s.Running && !s.Settled
	maps.DeleteFunc(s.Quarantined, func(name string, _ Verdict) bool { return !slices.Contains(names, name) })
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, held := s.Quarantined[name]; return held })
	traced := trace != "" && !strings.HasPrefix(trace, "SIG") // the signal was sent from outside
	switch {
	case !died:
		s.Score, s.Search = 0, nil
	case s.Search != nil:
		note = s.judge(names, traced, fault(trace), j.unit)
	default:
		s.Score += points(traced, tracedDeath, silentDeath)
		if s.Score >= searchFrom && len(names) > 0 {
			s.Search = &search{Suspects: names, Size: halfOf(len(names)), For: j.unit}
			note = fmt.Sprintf("the last runs ended within %s of their start: connectors start in groups until the one at fault is found", SettleAfter)
		}
	}
	j.names = slices.DeleteFunc(names, func(name string) bool { _, held := s.Quarantined[name]; return held })
	if s.Search != nil {
		s.Search.dropVanished(j.names)
	}
	s.Version, s.Running, s.Settled = version, true, false
	return note, j.saveLocked()
}

func points(traced bool, with, without int) int {
	if traced {
		return with
	}
	return without
}

func halfOf(n int) int { return max(1, (n+1)/2) }

// fault names what ended the process. The runtime's output has the text of a panic, but
// not of its own fatal errors: these are recognized by where they occurred.
func fault(trace string) string {
	if trace == "" {
		return "it was killed, as the kernel does where memory runs out"
	}
	for line := range strings.Lines(trace) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "panic: ") {
			if len(line) > 200 {
				line = line[:200] + "…"
			}
			return line
		}
	}
	for _, known := range []struct{ place, fault string }{
		{"runtime.newstack(", "stack overflow"},
		{"runtime.sysMap", "out of memory"},
		{"runtime.(*mheap)", "out of memory"},
		{"maps.fatal(", "concurrent use of a map"},
	} {
		if strings.Contains(trace, known.place) {
			return "fatal error: " + known.fault
		}
	}
	return "a fatal error of the runtime"
}

// judge evaluates the death of a run that searched.
func (s *state) judge(names []string, traced bool, why string, unit time.Duration) (note string) {
	q := s.Search
	switch {
	case q.Accused != "" && q.Control:
		// Nothing ran, so the cause is not a connector.
		if q.Alone {
			s.Search, s.Score = nil, outsideCredit
			return "the process ended while no connector ran, so none is at fault: look for what kills it; all connectors start"
		}
	case q.Accused != "" && q.Alone:
		q.Strikes += points(traced, tracedStrike, silentStrike)
		if q.Strikes < convictFrom {
			q.Control, q.Alone = true, false
			break
		}
		name := q.Accused
		if s.Quarantined == nil {
			s.Quarantined = make(map[string]Verdict)
		}
		s.Quarantined[name] = Verdict{Since: time.Now(), Why: why}
		q.acquit(name)
		q.Within, q.Size = 0, max(1, len(q.Suspects)) // there may be no other at fault
		note = fmt.Sprintf("connector %q ended the process whenever it ran alone, and does not run: %s", name, why)
	case q.Accused != "": // the accused was about to run alone
	case len(q.Trial) > 1:
		// The connector that started last is the most likely one.
		likely := slices.Clone(q.Trial)
		slices.Reverse(likely)
		q.Suspects = append(likely, slices.DeleteFunc(q.Suspects, func(name string) bool { return slices.Contains(likely, name) })...)
		q.Within, q.Size = len(likely), halfOf(len(likely))
	case len(q.Trial) == 1:
		q.Accused = q.Trial[0]
	case len(q.Suspects) == 0:
		q.suspectAll(names, unit) // all had passed, so the fault takes longer to appear
	}
	q.Trial = nil
	return note
}

// dropVanished drops suspects that no longer exist.
func (q *search) dropVanished(names []string) {
	q.Suspects = slices.DeleteFunc(q.Suspects, func(name string) bool { return !slices.Contains(names, name) })
	if q.Accused != "" && !slices.Contains(names, q.Accused) {
		q.acquit(q.Accused)
	}
}

// suspectAll suspects all and makes the trials longer: a connector that had passed has ended
// the process later. It returns false if the trials have their maximum length already.
func (q *search) suspectAll(names []string, unit time.Duration) bool {
	longest := longestTrial / firstTrial * unit
	longer := q.For < longest
	q.Suspects, q.Within, q.Size = names, 0, halfOf(len(names))
	q.For = min(2*q.For, longest)
	return longer
}

// acquit ends the proof against a connector, whatever its result.
func (q *search) acquit(name string) {
	q.Suspects = slices.DeleteFunc(q.Suspects, func(other string) bool { return other == name })
	if q.Accused == name {
		q.Accused, q.Strikes, q.Control, q.Alone = "", 0, false, false
	}
}

// Searching reports whether connectors must start by trials.
func (j *Journal) Searching() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Search != nil
}

// Suspected reports whether a connector may be the one at fault: then it starts by a
// trial.
func (j *Journal) Suspected(name string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Search != nil && slices.Contains(j.state.Search.Suspects, name)
}

// Next returns the next trial; ok is false when there is none left. Started must be
// called before each connector of the trial starts.
func (j *Journal) Next() (next Trial, ok bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q := j.state.Search
	if q == nil {
		return Trial{}, false, nil
	}
	q.Trial = nil
	next.For = q.For
	switch {
	case q.Accused != "":
		q.Alone, next.Alone = true, true
		if !q.Control {
			next.Names = []string{q.Accused}
		}
	case len(q.Suspects) > 0:
		next.Names = slices.Clone(q.Suspects[:min(q.Size, len(q.Suspects))])
	default:
		return Trial{}, false, j.saveLocked()
	}
	return next, true, j.saveLocked()
}

// Started records that a connector is about to start, by the trial or for another
// reason. A start during the proof against another connector spoils that proof.
func (j *Journal) Started(name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	q := j.state.Search
	if q == nil {
		return nil
	}
	if q.Alone && name != q.Accused || q.Control {
		q.Alone = false
	}
	if !slices.Contains(q.Trial, name) {
		q.Trial = append(q.Trial, name)
	}
	return j.saveLocked()
}

// Survived records that the trial is over and the process lives.
func (j *Journal) Survived() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	q := j.state.Search
	switch {
	case q == nil:
		return nil
	case q.Control:
		q.Control = false
	case q.Accused != "":
		// Another connector ended the process, most likely one that had passed.
		name, rest := q.Accused, q.Suspects
		q.acquit(name)
		if !q.suspectAll(slices.Clone(j.names), j.unit) {
			q.Suspects, q.Size = slices.DeleteFunc(rest, func(other string) bool { return other == name }), 1
		}
	default:
		for _, name := range q.Trial {
			q.acquit(name)
		}
		blamed := q.Within > 0
		switch q.Within = max(0, q.Within-len(q.Trial)); {
		case q.Within > 0:
			q.Size = halfOf(q.Within)
		case !blamed:
			q.Size *= 2
		default:
			// All of those that were running when the process died have passed.
			rest := q.Suspects
			if !q.suspectAll(slices.Clone(j.names), j.unit) {
				q.Suspects = rest
			}
		}
	}
	q.Trial, q.Alone = nil, false
	return j.saveLocked()
}

// Settle records that the run has lasted: a later death starts no search.
func (j *Journal) Settle() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.Settled, j.state.Score, j.state.Search = true, 0, nil
	return j.saveLocked()
}

// Stop records a clean stop.
func (j *Journal) Stop() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.Running, j.state.Score, j.state.Search = false, 0, nil
	return j.saveLocked()
}

// Held returns why a connector is quarantined, if it is.
func (j *Journal) Held(name string) (Verdict, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	v, held := j.state.Quarantined[name]
	return v, held
}

// Release lets a connector start again.
func (j *Journal) Release(name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, held := j.state.Quarantined[name]; !held {
		return nil
	}
	delete(j.state.Quarantined, name)
	return j.saveLocked()
}

func (j *Journal) saveLocked() error {
	data, err := json.MarshalIndent(j.state, "", "  ")
	if err == nil {
		err = j.file.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the journal of starts: %w", err)
	}
	return nil
}
