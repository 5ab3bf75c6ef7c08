package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/latency"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// RegisterInput adds the input kafka_ordered to the environment.
func RegisterInput(env *service.Environment, opts ...Option) error {
	return env.RegisterBatchInput("kafka_ordered", InputSpec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
			c, err := parseInput(conf, opts...)
			if err != nil {
				return nil, err
			}
			c.guard = crash.Of(mgr)
			return crash.Input(newInput(c, mgr), c.guard, c.where), nil
		})
}

// input is what the engine drives: it calls Connect, then ReadBatch until that returns
// ErrNotConnected, and starts again. Acknowledgements may come after Close.
//
// One client of Kafka is the member of the group. It stays over calls of Connect, so
// that a Kafka that was away for a moment does not cost the member its partitions. Its
// goroutines fetch, commit and watch (input_group.go).
type input struct {
	conf     *inputConfig
	log      *service.Logger
	warnings *warnings
	parts    *assignments
	latency  *latency.Histogram // nil where nobody asks
	tail     *tail.Feed         // nil if nobody can look
	metrics  inputMetrics
	silence  time.Duration // between two checks whether Kafka answers
	patience time.Duration // how long Connect and a check wait for its answer
	pace     pace

	mu      sync.Mutex
	member  *member // nil until connected
	failure *failing
	closed  bool
}

// failing is why the input cannot read.
type failing struct {
	err     error
	at      time.Time
	answers bool // Kafka answers: the fault is not the connection
}

// failingFor is how long a fault that Kafka reported counts: the client meets it again
// within that time.
const failingFor = 10 * time.Second

type inputMetrics struct {
	acked    *service.MetricCounter
	inFlight *service.MetricGauge
	oldest   *service.MetricGauge
	lag      *service.MetricGauge
}

func newInput(conf *inputConfig, mgr *service.Resources) *input {
	return &input{
		conf: conf, log: mgr.Logger(), warnings: newWarnings(mgr.Logger()), parts: newAssignments(), latency: latency.Of(mgr), tail: tail.Of(mgr),
		metrics: inputMetrics{
			acked:    mgr.Metrics().NewCounter("kafka_input_records_acknowledged"),
			inFlight: mgr.Metrics().NewGauge("kafka_input_in_flight"),
			oldest:   mgr.Metrics().NewGauge("kafka_input_oldest_unacked_seconds"),
			lag:      mgr.Metrics().NewGauge("kafka_lag", "topic", "partition"),
		},
		silence: maxSilence, patience: min(maxPatience, conf.requestOverhead), pace: newPace(),
	}
}

// state returns a snapshot of what the mutex guards.
func (i *input) state() (m *member, failure *failing, closed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if f := i.failure; f != nil && f.answers && time.Since(f.at) > failingFor {
		i.failure = nil
	}
	return i.member, i.failure, i.closed
}

func (i *input) isClosed() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.closed
}

// fail makes the input not ready.
func (i *input) fail(err error, answers bool) {
	i.mu.Lock()
	i.failure = &failing{err, time.Now(), answers}
	i.mu.Unlock()
	i.parts.wake()
}

// recovered ends a failure. Kafka answers; reads says that it has also let the member
// read.
func (i *input) recovered(reads bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failure != nil && (reads || !i.failure.answers) {
		i.failure = nil
	}
}

// Connect returns nil once Kafka answers, has the topics, and nothing keeps the member
// from reading. Until then it returns the reason: at once if it is new, and then from
// time to time.
func (i *input) Connect(ctx context.Context) error {
	for {
		err := i.connect(ctx)
		switch {
		case err == nil:
			i.pace.reset()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, service.ErrEndOfInput):
			return err
		}
		wait, tell := i.pace.next(err, time.Now())
		if tell {
			return service.NewErrBackOff(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func (i *input) connect(ctx context.Context) error {
	m, failure, closed := i.state()
	switch {
	case closed:
		return service.ErrEndOfInput
	case m == nil:
		return i.join(ctx)
	}
	if err := m.ping(ctx, i.patience); err != nil {
		if isAuthentication(err) {
			i.leave(m) // each of its tries may lock the account
		}
		return i.conf.unreachable(err)
	}
	i.recovered(false)
	if failure != nil && failure.answers {
		if errors.Is(failure.err, kerr.UnknownTopicID) {
			i.leave(m) // its client does not read a topic that is created in place of another
		}
		return failure.err
	}
	return nil
}

// join checks that Kafka answers and has the topics, and then becomes a member of the
// group. A member would retry a refused login without a pause.
func (i *input) join(ctx context.Context) error {
	if err := i.probe(ctx); err != nil {
		return err
	}
	m, err := newMember(i)
	if err != nil {
		return err
	}
	i.mu.Lock()
	closed := i.closed
	if !closed {
		i.member, i.failure = m, nil
	}
	i.mu.Unlock()
	if closed {
		m.close()
		return service.ErrEndOfInput
	}
	return nil
}

// leave ends the member, so that the next Connect begins another.
func (i *input) leave(m *member) {
	i.mu.Lock()
	if i.member == m {
		i.member = nil
	}
	i.mu.Unlock()
	m.close()
}

// probe checks over a connection of its own that Kafka answers and has the topics.
func (i *input) probe(ctx context.Context) error {
	l, err := newLink(&i.conf.clientConfig, kgo.WithLogger(i.warnings))
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.ping(ctx, i.conf.requestOverhead); err != nil {
		return i.conf.unreachable(err)
	}
	ctx, cancel := context.WithTimeout(ctx, i.conf.requestOverhead)
	defer cancel()
	return i.conf.checkTopics(ctx, l.client)
}

// ReadBatch returns rejected messages first, then what was fetched. It waits if there
// is neither.
func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	for {
		changed := i.parts.changes()
		m, failure, closed := i.state()
		switch {
		case closed:
			return nil, nil, service.ErrEndOfInput
		case m == nil || failure != nil:
			return nil, nil, service.ErrNotConnected
		}
		var due <-chan time.Time
		if h := i.parts.rejected(); h != nil {
			wait := h.pause()
			if wait == 0 {
				if i.parts.takeRejected(h) {
					batch, ack := i.batch(h)
					return batch, ack, nil
				}
				continue
			}
			timer := time.NewTimer(wait)
			defer timer.Stop()
			due = timer.C
		}
		if h := i.parts.nextBatch(i.conf.maxBatchMessages, i.conf.maxBatchBytes); h != nil {
			batch, ack := i.batch(h)
			return batch, ack, nil
		}
		select {
		case <-due:
			if h := i.parts.rejected(); h != nil && i.parts.takeRejected(h) {
				batch, ack := i.batch(h)
				return batch, ack, nil
			}
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// ConnectionTest checks over a connection of its own that Kafka answers and has the
// topics. It does not join the group.
func (i *input) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	if err := i.probe(ctx); err != nil {
		return service.ConnectionTestFailed(err).AsList()
	}
	return service.ConnectionTestSucceeded().AsList()
}

// Close commits what is acknowledged and leaves the group.
func (i *input) Close(ctx context.Context) error {
	i.mu.Lock()
	m := i.member
	i.closed = true
	i.mu.Unlock()
	i.parts.close()
	if m == nil {
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer i.conf.guard.Catch(i.conf.where + ", closing")
		m.close()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errNoTopic tells that a topic does not exist.
var errNoTopic = errors.New("the topic does not exist: create it, or correct topics")

// topicError names a topic and its fault.
func topicError(topic string, err error) error { return fmt.Errorf("topic %q: %w", topic, err) }
