package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Connect returns nil once Kafka answers and a batch that is held is written.
// Until then it returns why not: at once when the reason is new, and then every
// now and then. In between it tries again by itself, because the engine logs
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
		if tell {
			return service.NewErrBackOff(err, wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *output) connect(ctx context.Context) error {
	p, d, closed := o.state()
	switch {
	case closed:
		return errClosed
	case p == nil:
		return o.open(ctx)
	case d == nil:
		if err := p.ping(ctx); err != nil {
			return o.conf.explainConnect(err)
		}
		return nil
	default:
		return o.mend(ctx, p, d)
	}
}

func (o *output) open(ctx context.Context) error {
	p, err := newProducer(o.conf, kgoLogger{o.logger})
	if err != nil {
		return fmt.Errorf("configuring the Kafka client: %w", err)
	}
	if err := p.ping(ctx); err != nil {
		p.client.Close()
		return o.conf.explainConnect(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		p.client.Close()
		return errClosed
	}
	o.producer = p
	return nil
}

// mend waits for the held batch, and writes it again where it has stopped at a
// fault that was told already.
func (o *output) mend(ctx context.Context, p *producer, d *delivery) error {
	silentAt := time.Now()
	if d.ended() && d.fault != nil {
		fault := o.explainFault(p, d)
		if !o.pace.told(fault) {
			return fault
		}
		var err error
		if p, err = o.retry(ctx, p, d); err != nil {
			return err
		}
		silentAt = silentAt.Add(o.silence)
	}
	for {
		if o.listen(ctx, d) == nil {
			if d.fault == nil {
				return nil
			}
			return o.explainFault(p, d)
		}
		to, letters := p, d.burying.Load()
		if letters != nil {
			to = letters
		}
		if err := to.ping(ctx); err != nil {
			return to.conf.explainConnect(err)
		}
		if now := time.Now(); d.waiting.Load() {
			silentAt = now.Add(o.silence)
		} else if !now.Before(silentAt) {
			if letters != nil {
				return letters.explainSilence(ctx, []string{o.conf.strategy.TopicName})
			}
			return p.explainSilence(ctx, d.topics())
		}
	}
}

// retry starts a delivery that has stopped at a fault once more. The client is
// replaced where it remembers the fault; nothing is under way in it.
func (o *output) retry(ctx context.Context, p *producer, d *delivery) (*producer, error) {
	if remembered(d.fault.err) {
		if err := o.open(ctx); err != nil {
			return p, err
		}
		p.client.Close()
		p, _, _ = o.state()
	} else if err := p.ping(ctx); err != nil {
		return p, o.conf.explainConnect(err)
	}
	p.limits.forget(d.records[d.fault.index].Topic)
	if !o.begin(p, d) {
		return p, errClosed
	}
	return p, nil
}

// listen waits a moment for the delivery to end.
func (o *output) listen(ctx context.Context, d *delivery) error {
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

// explainSilence names the reason if it can be seen.
func (p *producer) explainSilence(ctx context.Context, topics []string) error {
	where := "Kafka"
	if len(topics) > 0 {
		where = fmt.Sprintf("topic %q", topics[0])
	}
	why := p.diagnose(ctx, topics)
	if why == "" {
		why = "see the logs of the brokers"
	}
	return fmt.Errorf("writing to %s: Kafka answers, but acknowledges no record: %s", where, why)
}

// explainFault also counts a record, the first time that it is at fault.
func (o *output) explainFault(p *producer, d *delivery) error {
	f := d.fault
	d.count(*f)
	if errors.As(f.err, new(*deadLetterError)) {
		return f.err
	}
	r := &d.records[f.index]
	return o.conf.explain(f.err, r, f.index, len(d.records), p.limits.of(r.Topic))
}
