package mqtt

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Register adds the input mqtt to the environment, in the place of one that is
// there already.
func Register(env *service.Environment) error {
	return env.RegisterBatchInput("mqtt", Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
			c, err := parseConfig(conf)
			if err != nil {
				return nil, err
			}
			return newInput(c, mgr), nil
		})
}

// input is the shell around sessions that the engine drives: Connect, then
// ReadBatch until it returns ErrNotConnected, and again. Close may come at any
// time, acknowledgements until after it.
type input struct {
	conf      *config
	log       *service.Logger
	connector *connector // used by Connect alone
	monitor   *monitor

	// Used by Connect alone.
	retries  pace
	rejoins  pace // between a connection that did not last and the next
	lastFail string
	toldAt   time.Time

	replays *replays

	mu      sync.Mutex
	session *session           // the newest, which may be dead
	left    []message          // of dead connections, to be handed over
	cancel  context.CancelFunc // ends the Connect that is going on, or nil
	closed  bool
}

func newInput(conf *config, mgr *service.Resources) *input {
	in := &input{
		conf: conf, log: mgr.Logger(),
		connector: newConnector(conf, mgr.Logger()),
		retries:   pace{first: 200 * time.Millisecond, limit: 3 * time.Second},
		rejoins:   pace{first: 200 * time.Millisecond, limit: 5 * time.Second},
		replays:   newReplays(),
	}
	in.monitor = newMonitor(conf.stallWarning, mgr, in.current)
	return in
}

// current is the newest session, or nil.
func (i *input) current() *session {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.session
}

// ReadBatch hands over what was rejected, else what has arrived, and waits while
// there is neither.
func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	s, left, err := i.begin()
	if err != nil {
		return nil, nil, err
	}
	if len(left) > 0 {
		return i.batch(nil, left, 0)
	}
	for {
		again, err := i.rejected(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		if len(again.messages) > 0 {
			return i.batch(again.session, again.messages, again.attempts)
		}
		taken, open := s.mailbox.take(i.conf.maxBatchMessages, i.conf.maxBatchBytes)
		if !open {
			return nil, nil, i.ended(s)
		}
		if len(taken) > 0 {
			return i.batch(s, taken, 0)
		}
		select {
		case <-s.mailbox.arrived:
		case <-i.replays.added:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// rejected returns the first messages that the pipeline is to get again, if
// there are any, after the pause that they are due.
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
		i.replays.drop()
		if r = r.over(s); len(r.messages) > 0 {
			return r, nil
		}
	}
}

// begin returns the session to read from, and messages that come before its own.
func (i *input) begin() (s *session, left []message, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, nil, service.ErrEndOfInput
	}
	if i.session == nil {
		return nil, nil, service.ErrNotConnected
	}
	n := min(len(i.left), i.conf.maxBatchMessages)
	left, i.left = i.left[:n:n], i.left[n:]
	return i.session, left, nil
}

// ended says what becomes of a session that is over.
func (i *input) ended(s *session) error {
	i.mu.Lock()
	closed := i.closed
	i.mu.Unlock()
	if closed {
		return service.ErrEndOfInput
	}
	i.log.Errorf("Lost the connection to %s: %v. Connecting again", s.address, s.reason())
	return service.ErrNotConnected
}

// Close says goodbye to the broker and returns when nothing is running any more.
func (i *input) Close(context.Context) error {
	i.mu.Lock()
	i.closed = true
	if i.cancel != nil {
		i.cancel()
	}
	s := i.session
	i.mu.Unlock()
	if s != nil {
		s.close()
	}
	i.monitor.stop()
	return nil
}

// ConnectionTest connects to a broker without subscribing, and says goodbye.
func (i *input) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	var all []error
	for _, u := range i.conf.urls {
		test, cancel := context.WithTimeout(ctx, i.conf.connectTimeout)
		s, err := newConnector(i.conf, i.log).open(test, u)
		cancel()
		if err == nil {
			s.running.Add(1)
			s.writer.end([]byte{typeDisconnect << 4, 0})
			s.writeLoop()
			s.fail(errClosed)
			return service.ConnectionTestSucceeded().AsList()
		}
		all = append(all, fmt.Errorf("connecting to %s: %w", u.Redacted(), err))
	}
	return service.ConnectionTestFailed(&allFailed{all}).AsList()
}
