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
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// run is the life of a connector from a start to the stop that follows: chores
// on the broker first, then its stream, which is started again where it ends.
type run struct {
	supervisor *Supervisor
	entry      *entry
	cancel     context.CancelFunc
	done       chan struct{}
	stopErr    error // why its stream has not ended; read it after done

	mu     sync.Mutex
	stream *stream
	waits  map[connector.Need]connector.Wait
}

func (s *Supervisor) startRun(e *entry, d store.Definition) *run {
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{
		supervisor: s, entry: e, cancel: cancel, done: make(chan struct{}),
		waits: make(map[connector.Need]connector.Wait),
	}
	r.wait(connector.NeedStart, errors.New("it is being started"))
	go r.loop(ctx, d)
	return r
}

// stop ends the run and returns when nothing of it is left. The error says that its
// stream goes on.
func (r *run) stop() error {
	r.cancel()
	<-r.done
	return r.stopErr
}

func (r *run) loop(ctx context.Context, d store.Definition) {
	defer close(r.done)
	defer r.entry.figures.stopped()
	guard := crash.New(func(err *crash.Error) {
		r.supervisor.log.Error("A panic ends the connector, and no other: report it with this stack",
			"connector", d.Connector.Name, "error", r.entry.hide.Load().Replace(err.Error()), "stack", string(err.Stack))
	})
	defer guard.Catch("the service's own code", r.fail)
	pause := backOff{}
	r.awaitPredecessors(ctx, d.Connector.Name)
	for ctx.Err() == nil {
		if err := r.doChores(ctx, &d); err != nil {
			r.wait(connector.NeedBroker, err)
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
		r.wait(connector.NeedStart, err)
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
	r.set(st)
	defer r.set(nil)
	select {
	case <-st.guard.Tripped():
	case <-st.ended:
		if st.guard.Err() == nil {
			return st.err
		}
	case <-ctx.Done():
		r.end(st, c.Name, r.drain(st))
		return ctx.Err()
	}
	// What was in flight is acknowledged to nobody: the broker sends it again.
	r.fail(st.guard.Err())
	r.end(st, c.Name, 0)
	r.set(nil)
	<-ctx.Done()
	return ctx.Err()
}

// end stops a stream. One that does not end goes on by itself, which is told until
// it has ended.
func (r *run) end(st *stream, name string, drain time.Duration) {
	err := st.stop(drain)
	if err == nil {
		return
	}
	r.supervisor.log.Error("Cannot stop the connector: restart the service to end it", "connector", name, "error", err)
	r.supervisor.outlives(name, st)
	r.stopErr = err
}

// leastDrain is what the ends of a stream need to close their connections.
const leastDrain = 500 * time.Millisecond

// drain is how long the stream may go on when it is stopped. The engine waits for
// a Kafka that is away also where it has nothing to write to it.
func (r *run) drain(st *stream) time.Duration {
	for _, end := range st.ends() {
		if end.need == connector.NeedKafka && !end.connected && r.entry.figures.report().InFlight == 0 {
			return leastDrain
		}
	}
	return max(leastDrain, r.supervisor.opts.DrainTimeout)
}

func (r *run) set(st *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stream = st
	clear(r.waits)
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
