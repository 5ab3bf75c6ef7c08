package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// run is the life of a connector from a start to the stop that follows: chores
// on the broker first, then its stream, which is started again where it ends.
type run struct {
	supervisor *Supervisor
	entry      *entry
	cancel     context.CancelFunc
	done       chan struct{}

	mu      sync.Mutex
	state   connector.State
	stream  *stream
	waiting map[string]waiting // by what is waited for
}

type waiting struct {
	since time.Time
	why   string
}

func (s *Supervisor) startRun(e *entry, d store.Definition) *run {
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{
		supervisor: s, entry: e, cancel: cancel, done: make(chan struct{}),
		state: connector.Idle, waiting: make(map[string]waiting),
	}
	go r.loop(ctx, d)
	return r
}

// stop ends the run and returns when nothing of it is left.
func (r *run) stop() {
	r.cancel()
	<-r.done
}

func (r *run) loop(ctx context.Context, d store.Definition) {
	defer close(r.done)
	defer r.entry.figures.stopped()
	pause := backOff{}
	for ctx.Err() == nil {
		if err := r.doChores(ctx, &d); err != nil {
			r.wait("the MQTT broker", err)
			pause.sleep(ctx)
			continue
		}
		err := r.runStream(ctx, d.Connector)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the stream has ended by itself")
		}
		r.wait("start", err)
		r.entry.lastError.note(err.Error())
		r.supervisor.log.Error("Cannot run the connector: it is tried again", "connector", d.Connector.Name, "error", err)
		pause.sleep(ctx)
	}
}

// doChores clears what the session still has from an earlier life, and forgets
// about it once that is done.
func (r *run) doChores(ctx context.Context, d *store.Definition) error {
	if !d.Before.Any() {
		return nil
	}
	s := r.supervisor
	at, err := sessionOf(s.effective(d.Connector).MQTT, s.files)
	if err != nil {
		return err
	}
	unlock, err := s.sessions.lock(ctx, at.identity())
	if err != nil {
		return err
	}
	defer unlock()
	if d.Before.ForgetSession {
		if err := at.forget(ctx); err != nil {
			return fmt.Errorf("removing the session of the connector that was deleted: %w", err)
		}
	} else if err := at.unsubscribe(ctx, d.Before.Unsubscribe); err != nil {
		return fmt.Errorf("unsubscribing from %s: %w", strings.Join(d.Before.Unsubscribe, ", "), err)
	}
	clean := *d
	clean.Before = store.Chores{}
	if err := s.store.Put(clean); err != nil {
		return err
	}
	*d = clean
	s.setDefinition(r.entry, clean)
	return nil
}

// runStream returns when the stream has ended, by the context or by itself.
func (r *run) runStream(ctx context.Context, c connector.Connector) error {
	st, err := r.supervisor.startStream(r.entry, c)
	if err != nil {
		return err
	}
	r.set(connector.Running, st)
	defer r.set(connector.Running, nil)
	select {
	case <-st.ended:
		return st.err
	case <-ctx.Done():
	}
	if err := st.stop(r.drain(st)); err != nil {
		r.supervisor.log.Error("Cannot stop the connector: restart the service if its name is used again", "connector", c.Name, "error", err)
	}
	return ctx.Err()
}

// drain is how long the stream may go on when it is stopped. The engine waits for
// a Kafka that is away also where it has nothing to write to it.
func (r *run) drain(st *stream) time.Duration {
	for _, end := range st.ends() {
		if end.what == "Kafka" && !end.connected && r.entry.figures.report().InFlight == 0 {
			return 0
		}
	}
	return r.supervisor.opts.DrainTimeout
}

func (r *run) set(state connector.State, st *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.stream = state, st
	clear(r.waiting)
}

// wait notes what the run waits for, since when, and why.
func (r *run) wait(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteLocked(what, err.Error())
}

func (r *run) noteLocked(what, why string) {
	since := time.Now()
	if before, ok := r.waiting[what]; ok {
		since = before.since
	}
	r.waiting[what] = waiting{since, why}
}

// look asks the stream for its ends, and returns the state and the reason to wait.
func (r *run) look() (connector.State, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stream != nil {
		ends := r.stream.ends()
		if len(ends) == 0 {
			r.noteLocked("start", "its ends are being connected")
		} else {
			delete(r.waiting, "start")
		}
		for _, e := range ends {
			if e.connected {
				delete(r.waiting, e.what)
				continue
			}
			why := r.entry.hide.Load().Replace(e.err)
			if why == "" {
				why = "connecting"
			} else {
				r.entry.lastError.note(e.what + ": " + why)
			}
			r.noteLocked(e.what, why)
		}
	}
	var parts []string
	for _, what := range []string{"start", "the MQTT broker", "Kafka"} {
		w, ok := r.waiting[what]
		if !ok {
			continue
		}
		since := w.since.Format(time.DateTime)
		if what == "start" {
			parts = append(parts, fmt.Sprintf("not started since %s: %s", since, w.why))
		} else {
			parts = append(parts, fmt.Sprintf("waits for %s since %s: %s", what, since, w.why))
		}
	}
	if len(parts) == 0 {
		return r.state, ""
	}
	return r.state, strings.Join(parts, "; ") + "; it goes on by itself once that is mended"
}

// backOff spaces attempts out, from a tenth of a second to half a minute.
type backOff struct{ next time.Duration }

func (b *backOff) sleep(ctx context.Context) {
	b.next = min(max(100*time.Millisecond, 2*b.next), 30*time.Second)
	select {
	case <-time.After(b.next):
	case <-ctx.Done():
	}
}
