package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// stalledAfter is how long no message may make progress, although some wait and both ends
// are connected, before the connector counts as stuck.
const stalledAfter = time.Minute

// needs are what a connector may wait for, in the order of reports.
var needs = []connector.Need{connector.NeedStart, connector.NeedUpdate, connector.NeedStore, connector.NeedBroker, connector.NeedKafka, connector.NeedBuffer, connector.NeedProgress}

// failure is why a connector does not continue until somebody acts.
type failure struct {
	since       time.Time
	why         string
	quarantined bool // it ended the process
}

// status returns the current status of a connector.
func (s *Supervisor) status(e *entry) connector.Status {
	status := s.standing(e)
	status.Config = e.shownConfig(s)
	return status
}

// standing returns a status without the config, which is slow to read.
func (s *Supervisor) standing(e *entry) connector.Status {
	first := s.standingOf(e)
	if first.Parallelism < 2 || first.State == connector.Paused {
		return first
	}
	here := s.membersHere(e)
	if len(here) == 0 {
		return first
	}
	all := make([]connector.MemberStatus, len(here))
	for i, one := range here {
		status := s.standingOf(one)
		all[i] = connector.MemberStatus{Member: one.number(s), State: status.State, Waits: status.Waits, Reason: status.Reason}
	}
	first.SetMembers(all)
	return first
}

// number is which member of its connector an entry is, from 0.
func (e *entry) number(s *Supervisor) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.definition.Connector.Member
}

// standingOf returns the status of one member.
func (s *Supervisor) standingOf(e *entry) connector.Status {
	s.mu.Lock()
	c, revision, r, failed := e.definition.Connector, e.definition.Revision, e.run, e.failed
	s.mu.Unlock()
	status := connector.Status{
		Name: c.Name, Type: cmp.Or(c.Type, connector.TypeKafka), Tenant: connector.DefaultTenant, TopicID: c.TopicID,
		FailureStrategy: c.FailureStrategy, Labels: c.Labels,
		CreateTime: createTime(c), UpdateTime: timeOf(c.UpdateTime),
		Revision: revision, Parallelism: c.Parallelism, Buffer: s.bufferOf(e, c, r),
	}
	switch {
	case c.Status == connector.WordStop:
		status.State = connector.Paused
		for _, o := range s.surviving() {
			if o.connector == c.Name {
				status.Reason = fmt.Sprintf("paused, but not ended since %s: %v; restart the service to end it", o.since.Format(time.DateTime), o.why)
			}
		}
	case failed != nil:
		status.State = connector.Failed
		status.Reason = fmt.Sprintf("failed since %s: %s", failed.since.Format(time.DateTime), failed.why)
	case r == nil:
		status.State = connector.Waiting
		status.Waits = []connector.Wait{s.whyNotStarted(e)}
	default:
		if status.Waits = r.currentWaits(); len(status.Waits) == 0 {
			status.State = connector.Running
		} else {
			status.State = connector.Waiting
		}
	}
	if status.State == connector.Waiting {
		status.Reason = reasonOf(status.Waits)
	}
	return status
}

// reasonOf returns the sentence about what a connector waits for.
func reasonOf(waits []connector.Wait) string {
	parts := make([]string, len(waits))
	for i, w := range waits {
		since := w.Since.Format(time.DateTime)
		switch w.For {
		case connector.NeedStart:
			parts[i] = fmt.Sprintf("not started since %s: %s", since, w.Why)
		case connector.NeedUpdate:
			parts[i] = fmt.Sprintf("not updated since %s: %s", since, w.Why)
		case connector.NeedStore:
			parts[i] = fmt.Sprintf("cannot write the store since %s: %s", since, w.Why)
		case connector.NeedBroker:
			parts[i] = fmt.Sprintf("waiting for the MQTT broker since %s: %s", since, w.Why)
		case connector.NeedKafka:
			parts[i] = fmt.Sprintf("waiting for Kafka since %s: %s", since, w.Why)
		case connector.NeedBuffer:
			parts[i] = fmt.Sprintf("waiting for its disk buffer since %s: %s", since, w.Why)
		case connector.NeedProgress:
			parts[i] = fmt.Sprintf("makes no progress since %s: %s", since, w.Why)
		}
	}
	return strings.Join(parts, "; ") + "; it continues by itself once that is corrected"
}

// fail records that the run does not continue until somebody acts.
func (r *run) fail(err error) {
	why := r.entry.hide.Load().Replace(err.Error())
	r.entry.lastError.set(why)
	r.supervisor.mu.Lock()
	defer r.supervisor.mu.Unlock()
	r.entry.failed = &failure{since: time.Now(), why: why + "; the log has its stack; resume or update starts it again"}
}

// wait records what the run waits for, since when, and why.
func (r *run) wait(what connector.Need, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setWaitLocked(what, r.entry.hide.Load().Replace(err.Error()))
}

func (r *run) setWaitLocked(what connector.Need, why string) {
	since := time.Now()
	if before, ok := r.waits[what]; ok {
		since = before.Since
	}
	r.waits[what] = connector.Wait{For: what, Since: since, Why: why}
}

// updateWaits notes what a connector waits for, so that a reason has a time.
func (s *Supervisor) updateWaits(e *entry) {
	for _, one := range s.membersOf(e) {
		s.mu.Lock()
		r, failed := one.run, one.failed
		s.mu.Unlock()
		if r != nil && failed == nil {
			r.currentWaits()
		}
	}
}

// currentWaits asks the stream for its ends, and returns what the run waits for.
func (r *run) currentWaits() []connector.Wait {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stream != nil {
		r.updateWaitsLocked(r.stream.ends())
	}
	if len(r.waits) == 0 {
		return nil
	}
	var waits []connector.Wait
	for _, what := range needs {
		if w, ok := r.waits[what]; ok {
			waits = append(waits, w)
		}
	}
	return waits
}

func (r *run) updateWaitsLocked(ends []end) {
	if len(ends) == 0 {
		r.setWaitLocked(connector.NeedStart, "its ends are being connected")
		return
	}
	delete(r.waits, connector.NeedStart)
	delete(r.waits, connector.NeedStore)
	if !slices.ContainsFunc(ends, func(e end) bool { return e.need == connector.NeedBuffer }) {
		delete(r.waits, connector.NeedBuffer)
	}
	connected := true
	for _, e := range ends {
		if e.connected {
			delete(r.waits, e.need)
			continue
		}
		connected = false
		why, need, what := r.entry.hide.Load().Replace(e.err), e.need, e.what()
		if trouble := r.trouble(); trouble != nil && need == connector.NeedBroker {
			// The session could not be recorded, so the store is reported whatever the
			// broker's state is.
			why, need, what = trouble.Error(), connector.NeedStore, "the store"
			delete(r.waits, connector.NeedBroker)
		}
		if why == "" {
			why = "connecting"
		} else {
			r.entry.lastError.set(what + ": " + why)
		}
		r.setWaitLocked(need, why)
	}
	stuck, f := time.Duration(0), r.entry.figures
	if connected {
		stuck = f.stuckFor(r.member)
	}
	if stuck < stalledAfter {
		delete(r.waits, connector.NeedProgress)
		return
	}
	messages := f.inFlight(r.member)
	if r.stream != nil {
		state, _ := r.stream.backlog.State()
		messages += int64(state.Messages)
	}
	r.waits[connector.NeedProgress] = connector.Wait{
		For: connector.NeedProgress, Since: time.Now().Add(-stuck),
		Why: fmt.Sprintf("both ends are connected, but of %d messages in flight none gets through: "+
			"see the connector's lines in the log, and restart the service if they do not say why", messages),
	}
}
