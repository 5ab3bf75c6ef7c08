package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Create implements connector.Manager.
func (s *Supervisor) Create(ctx context.Context, c connector.Connector) ([]string, error) {
	c, err := connector.KeepSecrets(c, connector.Connector{}) // refuses ***
	if err != nil {
		return nil, err
	}
	at, err := s.validate(c)
	if err != nil {
		return nil, err
	}
	unlock, err := s.operations.lock(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s.find(c.Name) != nil {
		return nil, fmt.Errorf("creating %q: %w", c.Name, connector.ErrExists)
	}

	now := time.Now()
	d := store.Definition{Connector: stamped(c, now, now)}
	e, err := s.take(nil, &d, at)
	if err != nil {
		return nil, err
	}
	if err := s.store.Put(d); err != nil {
		s.mu.Lock()
		delete(s.entries, c.Name)
		s.mu.Unlock()
		return nil, err
	}
	s.release(at)
	s.mu.Lock()
	s.startLocked(e)
	s.mu.Unlock()
	_, notes := connector.Pipeline(c)
	return notes, nil
}

// take reserves a session for a definition, of a new connector where e is nil.
// Where a deleted connector has left that session behind, it must be removed
// before the new one uses it.
func (s *Supervisor) take(e *entry, d *store.Definition, at session) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	for _, other := range s.entries {
		if other != e && other.session.identity() == at.identity() {
			return nil, &connector.InvalidError{Field: "config.client_id", Why: fmt.Sprintf(
				"%q is that of connector %q at the same broker, and they would throw each other off: give another one",
				at.clientID, other.definition.Connector.Name)}
		}
	}
	for _, r := range s.remains {
		if old, err := sessionOf(s.effective(r.Connector).MQTT, s.files); err == nil && old.identity() == at.identity() {
			d.Before.ForgetSession = true
		}
	}
	if e == nil {
		e = s.newEntryLocked(*d)
		e.session = at
	}
	return e, nil
}

// release drops the marks of a session that has an owner again.
func (s *Supervisor) release(at session) {
	s.mu.Lock()
	var taken []store.Removed
	s.remains = slices.DeleteFunc(s.remains, func(r store.Removed) bool {
		old, err := sessionOf(s.effective(r.Connector).MQTT, s.files)
		if err != nil || old.identity() != at.identity() {
			return false
		}
		taken = append(taken, r)
		return true
	})
	s.mu.Unlock()
	for _, r := range taken {
		if err := s.store.Forget(r); err != nil {
			s.log.Warn("Cannot drop the mark of a session: it is dropped at the next start", "connector", r.Connector.Name, "error", err)
		}
	}
}

// Update implements connector.Manager.
func (s *Supervisor) Update(ctx context.Context, c connector.Connector) ([]string, error) {
	unlock, err := s.operations.lock(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	e := s.find(c.Name)
	if e == nil {
		return nil, fmt.Errorf("updating %q: %w", c.Name, connector.ErrNotFound)
	}
	s.mu.Lock()
	before := e.definition
	s.mu.Unlock()
	if c, err = connector.KeepSecrets(c, before.Connector); err != nil {
		return nil, err
	}
	at, err := s.validate(c)
	if err != nil {
		return nil, err
	}
	d := store.Definition{Connector: stamped(c, createTime(before.Connector), time.Now())}
	d.Connector.Status = before.Connector.Status
	if _, err := s.take(e, &d, at); err != nil {
		return nil, err
	}

	// From here on it is done, whether or not the caller waits.
	_ = s.stopRun(e) // what goes on is told by Warnings
	err = s.replace(e, d, at)
	s.mu.Lock()
	s.startLocked(e)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	_, notes := connector.Pipeline(c)
	return notes, nil
}

// replace stores a new definition for a connector that does not run.
func (s *Supervisor) replace(e *entry, d store.Definition, at session) error {
	s.mu.Lock()
	before, was := e.definition, e.session
	s.mu.Unlock()
	var left *store.Removed
	if was.identity() == at.identity() {
		d.Before = before.Before
		if filter := before.Connector.TopicID; filter != d.Connector.TopicID {
			d.Before.Unsubscribe = append(slices.Clone(d.Before.Unsubscribe), filter)
		}
		d.Before.Unsubscribe = slices.DeleteFunc(d.Before.Unsubscribe, func(f string) bool { return f == d.Connector.TopicID })
	} else if !was.clean {
		// The mark comes first: after a crash in between, it names the session of a
		// connector that lives, and is dropped.
		r, err := s.store.Mark(before.Connector)
		if err != nil {
			return err
		}
		left = &r
	}
	if err := s.store.Put(d); err != nil {
		if left != nil {
			err = errors.Join(err, s.store.Forget(*left))
		}
		return err
	}
	s.release(at)
	s.mu.Lock()
	e.definition, e.session = d, at
	e.hide.Store(hiding(d.Connector.MQTT, d.Connector.Kafka.More))
	s.mu.Unlock()
	if left != nil {
		s.remain(*left)
	}
	return nil
}

// Delete implements connector.Manager.
func (s *Supervisor) Delete(ctx context.Context, name string) (string, error) {
	unlock, err := s.operations.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	e := s.find(name)
	if e == nil {
		return "", fmt.Errorf("deleting %q: %w", name, connector.ErrNotFound)
	}
	wedged := s.stopRun(e)
	s.mu.Lock()
	d, at := e.definition, e.session
	s.mu.Unlock()
	left, err := s.store.Remove(d.Connector)
	if err != nil {
		s.mu.Lock()
		s.startLocked(e)
		s.mu.Unlock()
		return "", err
	}
	s.mu.Lock()
	delete(s.entries, name)
	s.mu.Unlock()
	var notes []string
	if wedged != nil {
		notes = append(notes, fmt.Sprintf("the connector is deleted, but %v: it may use memory and processor time until the service is restarted", wedged))
	}
	if err := s.clear(context.WithoutCancel(ctx), left, at); err != nil {
		s.remain(left)
		notes = append(notes, fmt.Sprintf("the connector is deleted, but its session %q on the MQTT broker remains and keeps messages for it: %v; "+
			"its removal is tried again until it is done, also after a restart of the service", at.clientID, e.hide.Load().Replace(err.Error())))
	}
	return strings.Join(notes, "; "), nil
}

// Pause implements connector.Manager.
func (s *Supervisor) Pause(ctx context.Context, name string) error {
	return s.setStatus(ctx, "pausing", name, connector.WordStop)
}

// Resume implements connector.Manager.
func (s *Supervisor) Resume(ctx context.Context, name string) error {
	return s.setStatus(ctx, "resuming", name, "")
}

func (s *Supervisor) setStatus(ctx context.Context, doing, name, status string) error {
	unlock, err := s.operations.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	e := s.find(name)
	if e == nil {
		return fmt.Errorf("%s %q: %w", doing, name, connector.ErrNotFound)
	}
	s.mu.Lock()
	d, closed, failed := e.definition, s.closed, e.failed != nil
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	if d.Connector.Status == status && !failed {
		return nil
	}
	_ = s.stopRun(e) // what goes on is told by Warnings
	s.mu.Lock()
	d = e.definition // without the chores that were done
	s.mu.Unlock()
	d.Connector.Status = status
	err = s.store.Put(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		e.definition = d
	}
	s.startLocked(e)
	return err
}

func (s *Supervisor) find(name string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries[name]
}

// List implements connector.Manager.
func (s *Supervisor) List() []connector.Status {
	entries := s.list()
	all := make([]connector.Status, len(entries))
	for i, e := range entries {
		all[i] = s.status(e)
	}
	return all
}

// Detail implements connector.Manager.
func (s *Supervisor) Detail(name string) (connector.Status, connector.Figures, error) {
	e := s.find(name)
	if e == nil {
		return connector.Status{}, connector.Figures{}, fmt.Errorf("looking up %q: %w", name, connector.ErrNotFound)
	}
	status, report := s.status(e), e.figures.report()
	report.LastError, report.LastErrorSince = e.lastError.get()
	return status, report, nil
}

// stamped is c as it is stored: of what a description reports, only what this
// service says.
func stamped(c connector.Connector, created, updated time.Time) connector.Connector {
	c.Tenant, c.Status, c.BrokerID = connector.DefaultTenant, "", ""
	c.CreateTime, c.UpdateTime = created.Format(time.RFC3339Nano), updated.Format(time.RFC3339Nano)
	return c
}

func createTime(c connector.Connector) time.Time { return timeOf(c.CreateTime) }

// timeOf reads a time that stamped wrote; of another one there is none.
func timeOf(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
