package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/budget"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/latency"
	"github.com/robustmq/robustmq-connect/plugins/internal/nested"
)

// Register adds the input mqtt to the environment. It replaces an existing one.
func Register(env *service.Environment, opts ...Option) error {
	return env.RegisterBatchInput("mqtt", Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
			c, err := parseConfig(conf, opts...)
			if err != nil {
				return nil, err
			}
			c.guard = crash.Of(mgr)
			return nested.Input(crash.Input(newInput(c, mgr), c.guard, "the input mqtt"), nested.Of(mgr)), nil
		})
}

// input is what the engine drives: it calls Connect, then ReadBatch until that returns
// ErrNotConnected, and starts again. Close may be called at any time. Acknowledgements
// may come after Close.
//
// One goroutine maintains the connection (reconnect.go), from the first Connect until
// Close. Connect and ReadBatch only use what that goroutine provides: a connection that
// is lost while the engine requests nothing is replaced in the background.
type input struct {
	conf    *config
	log     *service.Logger
	keeper  keeper
	monitor *monitor
	replays *replays
	latency *latency.Histogram // nil where nobody asks
	traced  bool               // the pipeline has a tracer
	handed  atomic.Int64       // bytes that the pipeline has and has not answered for

	mu      sync.Mutex
	session *session    // the newest, which may be closed
	unread  []unread    // messages of closed connections, still to be handed over
	failure error       // why there is no connection, for the next Connect
	asked   bool        // the engine knows that there is no connection
	begun   bool        // Connect was called
	closed  bool        // Close was called
	up      bool        // session is in use
	changed chan signal // closed and replaced when any of these change
	running sync.WaitGroup
}

type signal struct{}

func newInput(conf *config, mgr *service.Resources) *input {
	in := &input{
		conf: conf, log: mgr.Logger(),
		keeper:  newKeeper(newBrokers(conf, mgr.Logger())),
		replays: newReplays(),
		latency: latency.Of(mgr),
		traced:  isTraced(mgr),
		asked:   true,
		changed: make(chan signal),
	}
	if nested.Of(mgr) != nil {
		in.latency = nil // the outer input knows when a message has arrived
	}
	conf.share = budget.Of(mgr).Join(in.held)
	in.monitor = newMonitor(conf.stallWarning, mgr, in.current)
	in.monitor.guard = conf.guard
	conf.arrived = in.monitor.resume
	return in
}

// held returns the number of bytes that the input has read and not yet acknowledged.
func (i *input) held() int64 {
	i.mu.Lock()
	s, size := i.session, i.unreadSizeLocked()
	i.mu.Unlock()
	if s != nil {
		size += s.mailbox.size()
	}
	return int64(size) + i.handed.Load()
}

// current returns the newest session, or nil.
func (i *input) current() *session {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.session
}

// change changes what mu guards and wakes all waiters.
func (i *input) change(how func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	how()
	i.wakeLocked()
}

func (i *input) wakeLocked() {
	close(i.changed)
	i.changed = make(chan signal)
}

// Connect waits until there is a connection, or an error that it has not returned yet:
// the engine logs each.
func (i *input) Connect(ctx context.Context) error {
	i.begin()
	for {
		up, closed, changed, failure := i.connectState()
		switch {
		case closed:
			return service.ErrEndOfInput
		case up:
			return nil
		case failure != nil:
			return failure
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connectState returns the state for Connect. It removes the failure, which is reported once.
func (i *input) connectState() (up, closed bool, changed chan signal, failure error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// A session that is closing is about to be replaced.
	if up = i.up && !i.session.closing.Load(); up {
		i.asked = false
	} else {
		failure, i.failure = i.failure, nil
	}
	return up, i.closed, i.changed, failure
}

// ReadBatch returns rejected messages first, then what has arrived. It waits if there
// is neither.
func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	for {
		s, changed, err := i.source()
		if err != nil {
			return nil, nil, err
		}
		again, err := i.rejected(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		if len(again.messages) > 0 {
			return i.batch(again.session, again.messages, again.attempts)
		}
		if unread := i.takeUnread(s); len(unread) > 0 {
			return i.batch(nil, unread, 0)
		}
		taken, open := s.mailbox.take(i.conf.maxBatchMessages, i.conf.maxBatchBytes)
		if len(taken) > 0 {
			return i.batch(s, taken, 0)
		}
		arrived := s.mailbox.arrived
		if !open {
			arrived = nil // closed: the goroutine that maintains connections reports it
		}
		select {
		case <-arrived:
		case <-changed:
		case <-i.replays.added:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// rejected returns the first messages that have to be handed over again, if any, after
// their retry pause.
func (i *input) rejected(ctx context.Context, s *session) (replay, error) {
	for {
		r, ok := i.replays.first()
		if !ok || s.closing.Load() {
			return replay{}, nil
		}
		pause := time.NewTimer(r.wait())
		select {
		case <-pause.C:
		case <-s.dead:
			pause.Stop()
			return replay{}, nil
		case <-ctx.Done():
			pause.Stop()
			return replay{}, ctx.Err()
		}
		i.replays.removeFirst()
		if r = r.notRedelivered(s); len(r.messages) > 0 {
			return r, nil
		}
	}
}

// source returns the connection to read from.
func (i *input) source() (s *session, changed chan signal, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return nil, nil, service.ErrEndOfInput
	case !i.up:
		i.asked = true
		i.wakeLocked() // awaitRoom waits for it
		return nil, nil, service.ErrNotConnected
	}
	return i.session, i.changed, nil
}

// Close disconnects from the broker and returns when all goroutines have ended.
func (i *input) Close(context.Context) error {
	i.change(func() { i.closed = true })
	i.keeper.stop()
	i.running.Wait()
	i.monitor.stop()
	i.conf.share.Leave()
	return nil
}

// ConnectionTest connects to a broker without subscribing, and disconnects.
func (i *input) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	o := newOpener(&i.conf.connection, i.log, "the input mqtt")
	err := o.probe(ctx, func(l *line) user { return newSession(i.conf, i.log, new(broker), l) })
	if err != nil {
		return service.ConnectionTestFailed(err).AsList()
	}
	return service.ConnectionTestSucceeded().AsList()
}
