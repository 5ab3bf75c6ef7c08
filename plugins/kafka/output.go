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
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// DialFunc opens connections as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Register adds the output kafka_franz to the environment, in the place of one
// that is there already.
func Register(env *service.Environment, opts ...Option) error {
	return RegisterDialing(env, nil, opts...)
}

// RegisterDialing is Register with another network in the place of TCP, for
// tests that hold the clock (testing/synctest) or break the network.
func RegisterDialing(env *service.Environment, dial DialFunc, opts ...Option) error {
	return env.RegisterBatchOutput("kafka_franz", Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			c, err := parseConfig(conf, opts...)
			if err != nil {
				return nil, service.BatchPolicy{}, 0, err
			}
			c.network = dial
			policy, err := conf.FieldBatchPolicy(fieldBatching)
			if err != nil {
				return nil, service.BatchPolicy{}, 0, err
			}
			c.guard = crash.Of(mgr)
			return crash.Output(newOutput(c, mgr), c.guard, "the output kafka_franz"), policy, c.maxInFlight, nil
		})
}

// output is the shell around deliveries that the engine drives.
//
// The contract that holding a batch rests on: after WriteBatch has returned
// ErrNotConnected, the engine calls Connect until it returns nil, shows its
// errors where it tells whether the stream is ready, and then hands over the
// same batch again, ahead of any other.
type output struct {
	conf     *config
	logger   *service.Logger
	warnings *warnings
	metrics  metrics
	handler  *failureHandler // nil to reject what is refused
	tail     *tail.Feed      // nil where nobody can look

	silence  time.Duration // that a batch may go without any acknowledgement
	patience time.Duration // with which Connect waits for an answer to a ping meanwhile
	pace     pace

	mu       sync.Mutex
	producer *producer // nil until connected
	holding  *delivery // the batch that the engine will hand over again
	silent   int       // how many batches have got no acknowledgement for too long
	spare    []*buffers
	idle     *time.Timer
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
	o.idle = time.AfterFunc(spareFor, o.dropBuffers)
	return o
}

// errClosed ends a Connect that comes after Close.
var errClosed = errors.New("connecting to Kafka: the output is closed")

// state is a snapshot of what the mutex guards.
func (o *output) state() (p *producer, holding *delivery, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.producer, o.holding, o.closed
}

// buffers returns those of a batch that Kafka has, or new ones.
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

// spareFor is how long buffers are kept that no batch comes for.
const spareFor = 10 * time.Second

// recycle keeps the buffers of a batch for a later one.
func (o *output) recycle(b *buffers) {
	b.empty()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = append(o.spare, b)
	o.idle.Reset(spareFor)
}

func (o *output) dropBuffers() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = nil
}

// begin starts the delivery, unless the output is closed.
func (o *output) begin(p *producer, d *delivery) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.running.Add(1)
	d.start(p, o.running.Done)
	return true
}

// WriteBatch writes all messages in order and returns once each is in Kafka or
// refused. Where refusals or Kafka's silence hold the batch it returns
// ErrNotConnected, and keeps what is left to write. Else refusals are returned by
// message.
func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	if len(batch) == 0 {
		return nil
	}
	p, d, closed := o.state()
	if p == nil || closed {
		return service.ErrNotConnected
	}
	if d == nil || !d.sameBatch(batch) {
		// The engine has dropped the batch that it owed. What is still under
		// way must not be overtaken.
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

// rejected is the error that a batch with refused records is rejected with.
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

// finished counts a batch of which all but so many records are in Kafka.
func (o *output) finished(d *delivery, refused int) {
	o.metrics.sent.Incr(int64(len(d.records) - refused))
	o.metrics.duration.Timing(time.Since(d.began).Nanoseconds())
}

// ConnectionTest asks Kafka whether it answers, over a connection of its own.
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

// probe asks Kafka whether it answers.
func probe(ctx context.Context, c *config, logger *service.Logger) error {
	p, err := newProducer(c, newWarnings(logger))
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.ping(ctx, c.requestOverhead); err != nil {
		return explainer{c}.connecting(err)
	}
	return nil
}

// Close gives up what is under way and waits for it to end.
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
