package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/handover"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// DialFunc opens connections as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Register adds the output kafka_franz to the environment. It replaces an existing one.
func Register(env *service.Environment, opts ...Option) error {
	return env.RegisterBatchOutput("kafka_franz", Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			c, err := parseConfig(conf, opts...)
			if err != nil {
				return nil, service.BatchPolicy{}, 0, err
			}
			policy, err := conf.FieldBatchPolicy(fieldBatching)
			if err != nil {
				return nil, service.BatchPolicy{}, 0, err
			}
			c.guard = crash.Of(mgr)
			return crash.Output(newOutput(c, mgr), c.guard, "the output kafka_franz"), policy, c.maxInFlight, nil
		})
}

// output is what the engine drives; deliveries do the writing.
//
// Holding a batch relies on this contract: after WriteBatch has returned
// ErrNotConnected, the engine calls Connect until it returns nil, shows Connect's
// errors in the readiness report, and then hands over the same batch again, before any
// other.
type output struct {
	conf     *config
	logger   *service.Logger
	warnings *warnings
	metrics  metrics
	handler  *failureHandler // nil to reject refused records
	tail     *tail.Feed      // nil if nobody can look

	silence  time.Duration // that a batch may go without any acknowledgement
	patience time.Duration // how long Connect waits for the answer to a ping during a silence
	pace     pace

	mu       sync.Mutex
	producer *producer // nil until connected
	holding  *delivery // the batch that the engine will hand over again
	silent   int       // the number of batches without an acknowledgement for too long
	spare    []*buffers
	idle     *time.Timer // calls whenIdle
	rest     clientRest
	closed   bool
	running  sync.WaitGroup
}

func newOutput(conf *config, mgr *service.Resources) *output {
	m := newMetrics(mgr.Metrics(), conf.metricTopics)
	o := &output{
		conf:     conf,
		logger:   mgr.Logger(),
		warnings: newWarnings(mgr.Logger()),
		metrics:  m,
		handler:  newFailureHandler(conf, m, mgr),
		tail:     tail.Of(mgr),
		silence:  min(maxSilence, conf.timeout+conf.requestOverhead),
		patience: min(maxPatience, conf.requestOverhead),
		pace:     newPace(),
	}
	o.rest = clientRest{unused: restUnused, after: restUsed}
	o.idle = time.AfterFunc(spareFor, o.whenIdle)
	return o
}

// errClosed ends a Connect after Close.
var errClosed = errors.New("connecting to Kafka: the output is closed")

// state returns a snapshot of what the mutex guards.
func (o *output) state() (p *producer, holding *delivery, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.producer, o.holding, o.closed
}

// buffers returns those of a finished batch, or new ones.
func (o *output) buffers() *buffers {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.spare); n > 0 {
		b := o.spare[n-1]
		o.spare = o.spare[:n-1]
		return b
	}
	return new(buffers)
}

// spareFor is how long unused buffers are kept.
const spareFor = 10 * time.Second

// recycle keeps the buffers of a batch for a later one.
func (o *output) recycle(b *buffers) {
	b.empty()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = append(o.spare, b)
}

// begin starts the delivery, unless the output is closed.
func (o *output) begin(p *producer, d *delivery) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.running.Add(1)
	o.rest.users++
	o.rest.used = true
	d.start(p, func() {
		o.releaseProducer()
		o.running.Done()
	})
	return true
}

// WriteBatch writes all messages in order and returns when each is in Kafka or refused.
// If refused records or Kafka's silence hold the batch, it returns ErrNotConnected and
// keeps the unwritten rest. Otherwise it returns the refusals by message.
func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	if len(batch) == 0 {
		return nil
	}
	p, d, closed := o.acquireProducer()
	defer o.releaseProducer()
	if p == nil || closed {
		return service.ErrNotConnected
	}
	if d == nil || !handover.Same(d.batch, batch) {
		// The engine has dropped the batch that it should have handed over again. Later
		// records must not overtake what is in flight.
		if d != nil && !d.ended() {
			return service.ErrNotConnected
		}
		b := o.buffers()
		errs := o.conf.records.build(batch, b)
		if o.handler != nil {
			errs = o.handler.markErrored(batch, b.records, errs)
		}
		d = newDelivery(batch, b, errs, o.handler)
		if !o.begin(p, d) {
			return service.ErrNotConnected
		}
	}
	err := o.await(ctx, p, d, batch)
	if err == nil && d.errs == nil && !d.refused {
		o.recycle(d.buffers)
	}
	return err
}

// rejected returns the error that rejects a batch with refused records.
func (o *output) rejected(p *producer, d *delivery, batch service.MessageBatch) error {
	var failed *service.BatchError
	refused := 0
	missing := map[string]bool{}
	for i, err := range d.errs {
		if err == nil {
			continue
		}
		refused++
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			missing[d.records[i].Topic] = true
		}
		o.metrics.fail(d.records[i].Topic, err)
		err = explainer{o.conf}.refusal(err, &d.records[i], i, len(d.records), p.topics.limit(d.records[i].Topic))
		if failed == nil {
			failed = service.NewBatchError(batch, err)
		}
		failed = failed.Failed(i, err)
	}
	o.finished(d, refused)
	if failed == nil {
		return nil
	}
	if o.conf.oneAtATime() { // so that no record is under way
		p.forgetMissing(missing)
	}
	return failed
}

// finished counts a batch of which all but refused records are in Kafka.
func (o *output) finished(d *delivery, refused int) {
	o.metrics.sent.Incr(int64(len(d.records) - refused))
	o.metrics.duration.Timing(time.Since(d.began).Nanoseconds())
}

// ConnectionTest checks that Kafka answers, over its own connection.
func (o *output) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	err := probe(ctx, o.conf, o.logger)
	if err == nil && o.conf.strategy.BootstrapServers != nil {
		if err = probe(ctx, o.conf.forDeadLetters(), o.logger); err != nil {
			err = fmt.Errorf("dead letters: %w", err)
		}
	}
	if err != nil {
		return service.ConnectionTestFailed(err).AsList()
	}
	return service.ConnectionTestSucceeded().AsList()
}

// probe checks that Kafka answers.
func probe(ctx context.Context, c *config, logger *service.Logger) error {
	p, err := newProducer(c, newWarnings(logger))
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.ping(ctx, c.requestOverhead); err != nil {
		return c.unreachable(err)
	}
	return nil
}

// Close gives up what is in flight and waits for it to end.
func (o *output) Close(ctx context.Context) error {
	o.mu.Lock()
	p := o.producer
	o.closed = true
	o.idle.Stop()
	o.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer o.conf.guard.Catch("the output kafka_franz, closing")
		if p != nil {
			p.close()
		}
		if o.handler != nil {
			o.handler.close()
		}
		o.running.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
