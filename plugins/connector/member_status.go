package connector

import (
	"fmt"
	"slices"
)

// MemberStatus is the state of one member of a connector.
type MemberStatus struct {
	Member int // from 0
	State  State
	Waits  []Wait
	Reason string // as that of a Status
	Worker string // as that of a Status: of the one that runs this member
}

// UnknownWorker stands for the URL of a worker that is not known: while connectors move
// between workers, or where it does not answer.
const UnknownWorker = "unknown"

// urgency orders states by how much they need a person. States that are not in it need
// none.
var urgency = map[State]int{Failed: 3, Unknown: 2, Waiting: 1}

// SetMembers makes the state of a connector that of its members: of the one that most
// needs a person, with its number in the reason. all has one member at least. While the
// first one delivers what an update gave up, the others do not run, and it counts alone.
func (s *Status) SetMembers(all []MemberStatus) {
	slices.SortFunc(all, func(a, b MemberStatus) int { return a.Member - b.Member })
	s.Members = all
	worst := all[0]
	if !worst.HandsOver() {
		for _, one := range all[1:] {
			if urgency[one.State] > urgency[worst.State] {
				worst = one
			}
		}
	}
	s.State, s.Waits, s.Reason = worst.State, worst.Waits, worst.Reason
	if s.Reason != "" && !worst.HandsOver() {
		s.Reason = fmt.Sprintf("member %d of %d: %s", worst.Member+1, s.Parallelism, s.Reason)
	}
}

// HandsOver reports whether this is the first member, and it delivers messages of sessions
// that an update gave up.
func (m MemberStatus) HandsOver() bool {
	return m.Member == 0 && slices.ContainsFunc(m.Waits, func(w Wait) bool { return w.For == NeedUpdate })
}

// Better reports whether a member needs a person less than it does by another telling.
func (m MemberStatus) Better(other MemberStatus) bool {
	return urgency[m.State] < urgency[other.State]
}

// Add adds what other members of the same connector have done.
func (f *Figures) Add(o Figures) {
	f.Sent += o.Sent
	f.Failed += o.Failed
	f.Retried += o.Retried
	f.Discarded += o.Discarded
	f.DeadLettered += o.DeadLettered
	f.InFlight += o.InFlight
	f.OldestUnacked = max(f.OldestUnacked, o.OldestUnacked)
	f.Lag = append(slices.Clone(f.Lag), o.Lag...)
	if o.LastErrorSince.After(f.LastErrorSince) {
		f.LastError, f.LastErrorSince = o.LastError, o.LastErrorSince
	}
	later := o.LastSend.After(f.LastSend)
	if later {
		f.LastSend = o.LastSend
	}
	if o.LastMessage != nil && (later || f.LastMessage == nil) {
		f.LastMessage = o.LastMessage
	}
}

// Add adds the figures of other members of the same connector.
func (s *Sample) Add(o Sample) {
	s.Figures.Add(o.Figures)
	s.Received += o.Received
	s.Acknowledged += o.Acknowledged
	s.Latency += o.Latency
}
