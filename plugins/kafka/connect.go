package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Connect returns nil once Kafka answers and the held batch, if there is one, is
// written. Until then it returns the reason: at once if the reason is new, and then
// from time to time. In between it retries without returning, because the engine logs
// each error.
func (o *output) Connect(ctx context.Context) error {
	for {
		err := o.connect(ctx)
		switch {
		case err == nil:
			o.pace.reset()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errClosed):
			return err
		}
		wait, tell := o.pace.next(err, time.Now())
		switch {
		case tell && isAuthentication(err):
			return service.NewErrBackOff(err, wait)
		case tell:
			// The long waits are here, because the end of a delivery can end them
			// early.
			return service.NewErrBackOff(err, o.pace.shortest)
		}
		o.pause(ctx, wait)
	}
}

// pause waits before the next try, or until a running delivery ends.
func (o *output) pause(ctx context.Context, wait time.Duration) {
	var ends <-chan struct{}
	if _, d, _ := o.state(); d != nil && !d.ended() {
		ends = d.done
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ends:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (o *output) connect(ctx context.Context) error {
	p, d, closed := o.acquireProducer()
	defer o.releaseProducer()
	switch {
	case closed:
		return errClosed
	case p == nil:
		return o.open(ctx)
	case d == nil:
		if err := p.ping(ctx, o.patience); err != nil {
			return o.conf.unreachable(err)
		}
		return nil
	default:
		return o.resumeHeld(ctx, p, d)
	}
}

func (o *output) open(ctx context.Context) error {
	p, err := newProducer(o.conf, o.warnings)
	if err != nil {
		return fmt.Errorf("configuring the Kafka client: %w", err)
	}
	if err := p.ping(ctx, o.conf.requestOverhead); err != nil {
		p.close()
		return o.conf.unreachable(err)
	}
	if topic := o.conf.records.topic; topic.isConstant {
		p.learnFirst(ctx, topic.constant)
	}
	if !o.setProducer(p) {
		p.close()
		return errClosed
	}
	return nil
}

// setProducer makes batches use p, unless the output is closed.
func (o *output) setProducer(p *producer) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.producer, o.rest.resting, o.rest.used = p, false, false
	}
	return !o.closed
}

// resumeHeld waits for the held batch, and retries it if it stopped at an error that
// was reported already.
func (o *output) resumeHeld(ctx context.Context, p *producer, d *delivery) error {
	if d.ended() && d.fault != nil {
		fault := o.explainFault(p, d)
		if !o.pace.wasReported(fault) {
			return fault
		}
		var err error
		if p, err = o.retry(ctx, p, d); err != nil {
			return err
		}
	}
	for {
		if o.awaitEnd(ctx, d) == nil {
			if d.fault == nil {
				return nil
			}
			return o.explainFault(p, d)
		}
		if err := o.checkAlive(ctx, p, d); err != nil {
			return err
		}
	}
}

// checkAlive checks that Kafka answers. If the batch has had no acknowledgement for too
// long, it also looks for the reason. Both together take at most the output's patience.
func (o *output) checkAlive(ctx context.Context, p *producer, d *delivery) error {
	began := time.Now()
	topics := d.topics
	if via := d.deadLettersVia.Load(); via != nil {
		p, topics = via, func() []string { return []string{o.conf.strategy.TopicName} }
	}
	if err := p.ping(ctx, o.patience); err != nil {
		return p.conf.unreachable(err)
	}
	if d.quiet(time.Now()) < o.silence {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, began.Add(o.patience))
	defer cancel()
	return p.explainSilence(ctx, topics())
}

// retry restarts a delivery that has stopped at an error. It replaces the client if
// that caches the error; the client has no records in flight then.
func (o *output) retry(ctx context.Context, p *producer, d *delivery) (*producer, error) {
	if remembered(d.fault.err) {
		if err := o.open(ctx); err != nil {
			return p, err
		}
		p.close()
		p, _, _ = o.state()
	} else if err := p.ping(ctx, o.conf.requestOverhead); err != nil {
		return p, o.conf.unreachable(err)
	}
	p.topics.forget(d.records[d.fault.index].Topic)
	if !o.begin(p, d) {
		return p, errClosed
	}
	return p, nil
}

// awaitEnd waits briefly for the delivery to end.
func (o *output) awaitEnd(ctx context.Context, d *delivery) error {
	timer := time.NewTimer(o.pace.shortest)
	defer timer.Stop()
	select {
	case <-d.done:
		return nil
	case <-timer.C:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// explainSilence returns the reason if it can be determined.
func (p *producer) explainSilence(ctx context.Context, topics []string) error {
	where := "Kafka"
	if len(topics) > 0 {
		where = fmt.Sprintf("topic %q", topics[0])
	}
	why := p.diagnose(ctx, topics)
	if refused := p.conf.refused.Load(); refused != nil {
		why = "of the addresses that brokers advertise, " + refused.Error()
	} else if why == "" {
		why = "see the logs of the brokers"
	}
	return fmt.Errorf("writing to %s: Kafka answers, but acknowledges no record: %s", where, why)
}

// explainFault describes the error that holds the batch. It also counts the record, the
// first time that it fails.
func (o *output) explainFault(p *producer, d *delivery) error {
	f := d.fault
	d.count(*f)
	switch {
	case errors.As(f.err, new(*deadLetterError)):
		return f.err
	case notConnected(f.err):
		return o.conf.unreachable(f.err)
	}
	r := &d.records[f.index]
	return explainer{o.conf}.refusal(f.err, r, f.index, len(d.records), p.topics.limit(r.Topic))
}
