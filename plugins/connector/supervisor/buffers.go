package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/diskbuffer"
)

// buffers are the disk buffers of a service: a directory for each connector that has, or
// had, one. Nil is a service without.
type buffers struct {
	dir  string
	most uint64 // the largest max_bytes
	lock *flock.Flock
}

// gonePrefix begins the name of a directory that is being removed. No buffer's does.
const gonePrefix = "gone-"

// openBuffers opens the directory for this service alone, and creates it if there is none.
// It removes what was discarded and not removed.
func openBuffers(dir string, most uint64) (*buffers, error) {
	if dir == "" {
		return nil, nil
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the directory of the disk buffers: %w", err)
	}
	b := &buffers{dir: dir, most: most, lock: flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))}
	locked, err := b.lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("opening the directory of the disk buffers: locking it: %w", err)
	case !locked:
		return nil, fmt.Errorf("opening the directory of the disk buffers: another service uses %s: stop that one, or give this one its own --buffer-dir", dir)
	}
	gone, err := filepath.Glob(filepath.Join(escaped(dir), gonePrefix+"*"))
	for _, one := range gone {
		err = errors.Join(err, os.RemoveAll(one))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("removing disk buffers of deleted connectors: %w", err), b.Close())
	}
	return b, nil
}

// escaped is a path as a pattern that matches nothing else.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func (b *buffers) Close() error {
	if b == nil {
		return nil
	}
	return b.lock.Close()
}

func (b *buffers) path(name string) string {
	return filepath.Join(b.dir, connector.BufferName(connector.DefaultTenant, name))
}

// holds reports whether a connector has files of messages.
func (b *buffers) holds(name string) bool {
	if b == nil {
		return false
	}
	segments, err := filepath.Glob(filepath.Join(escaped(b.path(name)), "*.segment"))
	return err == nil && len(segments) > 0
}

// waiting returns how many messages of a connector that does not run are on disk.
func (b *buffers) waiting(name string) (messages uint64, err error) {
	if !b.holds(name) {
		return 0, nil
	}
	state, err := diskbuffer.Waiting(b.path(name))
	return state.Messages, err
}

// putAway takes the buffer from a connector. restore gives it back, and remove removes
// it; what a crash leaves is removed at the next start.
func (b *buffers) putAway(name string) (restore func(), remove func() error, err error) {
	nothing := func() error { return nil }
	if b == nil {
		return func() {}, nothing, nil
	}
	path := b.path(name)
	gone := filepath.Join(b.dir, gonePrefix+filepath.Base(path)+"-"+time.Now().UTC().Format("20060102T150405.000000000"))
	if err := os.Rename(path, gone); errors.Is(err, os.ErrNotExist) {
		return func() {}, nothing, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("removing its disk buffer: %w", err)
	}
	return func() { _ = os.Rename(gone, path) }, func() error { return os.RemoveAll(gone) }, nil
}

var errNoBuffers = &connector.InvalidError{
	Field: "config.disk_buffer",
	Why:   "this service keeps no disk buffers, because its store is in Kafka and a buffer is on the disk of one machine: remove it",
}

// buffered returns c with the place of its disk buffer, if it has one.
func (s *Supervisor) buffered(c connector.Connector) connector.Connector {
	if s.buffers == nil || !c.HasBuffer() {
		return c
	}
	return c.WithBuffer(s.buffers.path(c.Name), s.buffers.most)
}

// checkBuffer refuses a disk buffer that the service does not allow.
func (s *Supervisor) checkBuffer(c connector.Connector) error {
	switch {
	case !c.HasBuffer():
		return nil
	case s.buffers == nil:
		return errNoBuffers
	}
	return c.CheckBuffer(s.buffers.most)
}

// emptyingDocument returns the pipeline that delivers what is in the buffer of a connector
// and ends.
func (s *Supervisor) emptyingDocument(c connector.Connector) ([]byte, error) {
	c = s.effective(c)
	c = c.WithBuffer(s.buffers.path(c.Name), s.buffers.most)
	text, _ := connector.Pipeline(c)
	return changedInput(c.Name, text, func(input map[string]any) (string, map[string]any) {
		buffer, _ := input["disk_buffer"].(map[string]any)
		return "disk_buffer", buffer
	})
}

// changedInput replaces the input robustmq_kafka of a pipeline by that which change makes
// of its fields: another kind, with fields of its own.
func changedInput(name string, text []byte, change func(fields map[string]any) (kind string, changed map[string]any)) ([]byte, error) {
	var pipeline struct {
		Input  map[string]any
		Output map[string]any
	}
	if err := yaml.Unmarshal(text, &pipeline); err != nil {
		return nil, fmt.Errorf("reading the pipeline of %q: %w", name, err)
	}
	input, ok := pipeline.Input["robustmq_kafka"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the pipeline of %q has no input robustmq_kafka", name)
	}
	delete(pipeline.Input, "robustmq_kafka")
	kind, changed := change(input)
	pipeline.Input[kind] = changed
	return yaml.Marshal(map[string]any{"input": pipeline.Input, "output": pipeline.Output})
}

// emptyBuffer delivers what is in the buffer of a connector that an update took it from,
// and removes the buffer. What the broker has for the connector is newer, so it comes
// after.
func (r *run) emptyBuffer(ctx context.Context, c connector.Connector) error {
	s := r.supervisor
	if c.HasBuffer() || c.IsSource() || !s.buffers.holds(c.Name) {
		return nil
	}
	document, err := s.emptyingDocument(c)
	if err != nil {
		return err
	}
	r.wait(connector.NeedUpdate, errors.New("messages that wait in the disk buffer that it had are delivered before it runs without one"))
	st, err := s.startDocument(r.entry, c, document)
	if err != nil {
		return err
	}
	r.attach(st)
	defer r.attach(nil)
	select {
	case <-st.guard.Tripped():
		return r.crashed(ctx, st, c.Name)
	case <-st.ended:
		if st.guard.Err() != nil {
			return r.crashed(ctx, st, c.Name)
		}
	case <-ctx.Done():
		r.end(st, c.Name, r.drain(st))
		return ctx.Err()
	}
	if st.err != nil {
		return st.err
	}
	left, err := s.buffers.waiting(c.Name)
	if err == nil && left > 0 {
		err = fmt.Errorf("its disk buffer still has %d messages", left)
	}
	if err != nil {
		return err
	}
	_, remove, err := s.buffers.putAway(c.Name)
	if err == nil {
		err = remove()
	}
	return err
}

// drainBuffer delivers what is in the buffer of a connector that is stopped and is to be
// deleted, for at most the drain timeout. The error says that something is left.
func (s *Supervisor) drainBuffer(e *entry, how connector.DeleteOptions) error {
	d := e.stored(s)
	name := d.Connector.Name
	if how.DiscardWaiting {
		return nil
	}
	left, err := s.buffers.waiting(name)
	if left > 0 && s.quarantined(e) {
		err = errors.New("it has ended the process")
	} else if left > 0 {
		var document []byte
		if document, err = s.emptyingDocument(d.Connector); err == nil {
			err = s.runFor(e, d.Connector, document, s.opts.DrainTimeout)
		}
		if more, failed := s.buffers.waiting(name); failed == nil {
			left = more
		}
		if left == 0 {
			return nil
		}
	}
	const then = "nothing was deleted; delete it when they are delivered, or with discard_waiting to discard them"
	switch {
	case err != nil:
		return fmt.Errorf("deleting %q: what waits in its disk buffer cannot be delivered: %w; %s", name, err, then)
	case left > 0:
		return fmt.Errorf("deleting %q: %d messages wait in its disk buffer that Kafka has not got within %s; %s", name, left, s.opts.DrainTimeout, then)
	}
	return nil
}

// runFor runs a pipeline until it ends, for at most the given time.
func (s *Supervisor) runFor(e *entry, c connector.Connector, document []byte, most time.Duration) error {
	st, err := s.startDocument(e, c, document)
	if err != nil {
		return err
	}
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	select {
	case <-st.ended:
		return errors.Join(st.guard.Err(), st.err)
	case <-st.guard.Tripped():
	case <-timeout.C:
	case <-s.halted.Done():
	}
	if err := st.stop(leastDrain); err != nil {
		s.outlives(c.Name, st, err)
		return err
	}
	return st.guard.Err()
}
