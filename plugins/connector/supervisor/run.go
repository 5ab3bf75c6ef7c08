package supervisor

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

// run is a connector from a start to the stop that follows: first tasks on the broker,
// then its stream, which is restarted if it ends.
type run struct {
	supervisor *Supervisor
	entry      *entry
	member     int // of the connector, from 0
	cancel     context.CancelFunc
	done       chan struct{}
	stopping   bool  // guarded by the supervisor's mutex
	stopErr    error // why its stream has not ended; read it after done

	mu     sync.Mutex
	stream *stream
	waits  map[connector.Need]connector.Wait
}

func (s *Supervisor) startRun(e *entry, d store.Definition) *run {
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{
		supervisor: s, entry: e, member: d.Connector.Member, cancel: cancel, done: make(chan struct{}),
		waits: make(map[connector.Need]connector.Wait),
	}
	r.wait(connector.NeedStart, errors.New("it is being started"))
	go r.loop(ctx, d)
	return r
}

// stop ends the run and returns when all of it has ended. The error means that its
// stream continues.
func (r *run) stop() error {
	r.cancel()
	<-r.done
	return r.stopErr
}

func (r *run) loop(ctx context.Context, d store.Definition) {
	defer close(r.done)
	defer r.entry.figures.stopped(r.member)
	defer r.entry.lag.Store(nil) // what was read before this run
	guard := crash.New(func(err *crash.Error) {
		r.supervisor.log.Error("A panic ends the connector, and no other: report it with this stack",
			"connector", d.Connector.Name, "error", r.entry.hide.Load().Replace(err.Error()), "stack", string(err.Stack))
	})
	defer guard.Catch("the service's own code", r.fail)
	waits := newRestarts()
	r.awaitPredecessors(ctx, d.Connector.Name)
	for ctx.Err() == nil {
		began := time.Now()
		err := r.emptyBuffer(ctx, d.Connector)
		if err == nil {
			err = r.handOver(ctx, &d)
		}
		need := connector.NeedUpdate
		if err == nil {
			need = connector.NeedStart
			r.supervisor.startMembers(r)
			err = r.runStream(ctx, d.Connector)
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRenewed) {
			r.supervisor.log.Info("Connecting anew, because files of its credentials have changed", "connector", d.Connector.Name)
			continue
		}
		if err == nil {
			err = errors.New("the stream has ended by itself")
		}
		if errors.As(err, new(*storeError)) {
			need = connector.NeedStore
		}
		err = errors.New(r.entry.hide.Load().Replace(err.Error()))
		r.wait(need, err)
		r.entry.lastError.set(err.Error())
		r.supervisor.log.Error("Cannot run the connector: it is retried", "connector", d.Connector.Name, "error", err)
		_ = pace.Sleep(ctx, waits.after(time.Since(began))) // the loop checks the context
	}
}

// runStream returns when the stream has ended, because of the context or by itself.
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
		r.noteUnsettled(st)
		r.end(st, c.Name, r.drain(st))
		return ctx.Err()
	case <-st.renewal:
		r.noteUnsettled(st)
		r.end(st, c.Name, r.drain(st))
		if r.stopErr != nil {
			<-ctx.Done() // two streams would disconnect each other
			return ctx.Err()
		}
		return errRenewed
	}
	return r.crashed(ctx, st, c.Name)
}

// crashed ends a stream that a panic has stopped, and returns when the run has to end.
// Messages in flight are not acknowledged: the broker redelivers them.
func (r *run) crashed(ctx context.Context, st *stream, name string) error {
	r.entry.unsettled.Store(true)
	r.fail(st.guard.Err())
	r.end(st, name, 0)
	r.set(nil)
	<-ctx.Done()
	return ctx.Err()
}

// noteUnsettled records whether the broker has delivered messages that cannot be
// acknowledged because Kafka is unavailable.
func (r *run) noteUnsettled(st *stream) {
	unsettled := false
	for _, end := range st.ends() {
		if end.need == connector.NeedKafka && !end.connected && r.entry.figures.inFlight(r.member) > 0 {
			unsettled = true
		}
	}
	r.entry.unsettled.Store(unsettled)
}

// end stops a stream. One that does not end continues to run, which is reported until
// it has ended.
func (r *run) end(st *stream, name string, drain time.Duration) {
	err := st.stop(drain)
	if err == nil {
		return
	}
	r.supervisor.log.Error("Cannot stop the connector: restart the service to end it", "connector", name, "error", err)
	r.supervisor.outlives(name, st, err)
	r.stopErr = err
}

// leastDrain is how long the ends of a stream need to close their connections.
const leastDrain = 500 * time.Millisecond

// drain returns how long the stream may continue when it is stopped. The engine waits
// for an unavailable Kafka even if it has nothing to write to it.
func (r *run) drain(st *stream) time.Duration {
	for _, end := range st.ends() {
		if end.need == connector.NeedKafka && !end.connected && r.entry.figures.inFlight(r.member) == 0 {
			return leastDrain
		}
	}
	return max(leastDrain, r.supervisor.opts.DrainTimeout)
}

func (r *run) set(st *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rememberLocked()
	r.stream = st
	clear(r.waits)
}

// attach makes another stream the one whose ends are reported.
func (r *run) attach(st *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rememberLocked()
	r.stream = st
	maps.DeleteFunc(r.waits, func(need connector.Need, _ connector.Wait) bool { return need != connector.NeedUpdate })
}

// trouble returns why the connector's session could not be recorded.
func (r *run) trouble() error {
	s := r.supervisor
	s.mu.Lock()
	clientID := r.entry.side.ClientID
	s.mu.Unlock()
	return s.sessions.Trouble(clientID)
}

// steady is how long a stream must run for its end to count as a new failure.
const steady = time.Minute

// restarts calculates the pauses between restarts of a stream.
type restarts struct{ pace.Pace }

func newRestarts() restarts {
	return restarts{pace.Pace{First: 200 * time.Millisecond, Limit: 30 * time.Second}}
}

// after returns the pause after a stream that has lasted for some time. After one that
// lasted long, the pauses start again.
func (r *restarts) after(lasted time.Duration) time.Duration {
	if lasted > steady {
		r.Reset()
	}
	return r.Next()
}
