package mqtt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
	"github.com/robustmq/robustmq-connect/plugins/internal/throttle"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// refusals applies the failure strategy to messages that the broker refuses.
type refusals struct {
	strategy kafka.Strategy
	log      *throttle.Log
	letters  *letters // nil unless the strategy needs them

	blocked      *service.MetricGauge
	failed       *service.MetricCounter
	retried      *service.MetricCounter
	discarded    *service.MetricCounter
	deadLettered *service.MetricCounter
}

func newRefusals(c *outputConfig, mgr *service.Resources) *refusals {
	logger, m := mgr.Logger(), mgr.Metrics()
	r := &refusals{
		strategy: c.strategy,
		log:      throttle.New(time.Second, "messages", func(text string) { logger.Warn(text) }),

		blocked:      m.NewGauge("mqtt_output_blocked"),
		failed:       m.NewCounter("mqtt_output_messages_failed", "reason"),
		retried:      m.NewCounter("mqtt_output_messages_retried"),
		discarded:    m.NewCounter("mqtt_output_messages_discarded"),
		deadLettered: m.NewCounter("mqtt_output_messages_dead_lettered"),
	}
	if c.strategy.Name == kafka.StrategyDeadMessageQueue {
		r.letters = newLetters(c, mgr)
	}
	return r
}

func (r *refusals) close() {
	r.log.Close()
	if r.letters != nil {
		r.letters.close()
	}
}

// judge refuses the messages that carry an error, if there is a strategy: their content
// must not be published as if the processor had succeeded.
func (r *refusals) judge(batch service.MessageBatch, messages []outgoing) []outgoing {
	if r.strategy.Name == "" {
		return messages
	}
	for i, msg := range batch {
		if err := msg.GetError(); err != nil {
			messages[i].err = &messageError{fmt.Errorf("a processor failed on the message: correct the processor, or handle the error with catch: %w", err)}
		}
	}
	return messages
}

// count counts refused messages by their reason.
func (r *refusals) count(refused map[int]error) {
	for _, err := range refused {
		label := "message"
		if errors.As(err, new(*expelledError)) {
			label = "connection ended"
		}
		if reason, ok := errors.AsType[*reasonError](err); ok {
			if label = reasonNames[reason.code]; label == "" {
				label = "unknown reason"
			}
		}
		r.failed.Incr(1, label)
	}
}

// retries returns how often the strategy sends refused messages again.
func (r *refusals) retries() int { return r.strategy.RetryTotalTimes }

// retriable reports whether the broker may take the message another time.
func retriable(err error) bool { return !errors.As(err, new(*messageError)) }

// holdPace is how often a batch that is held is tried again.
func holdPace() pace.Pace { return pace.Pace{First: 250 * time.Millisecond, Limit: 5 * time.Second} }

// finish waits for the transfer and deals with what the broker refuses. ErrNotConnected
// means that the transfer goes on when the engine hands over its batch again.
func (o *output) finish(ctx context.Context, p *publishing, d *transfer) error {
	r := o.refused
	if d.held {
		d.held = false
		if r.strategy.Name == kafka.StrategyBlock {
			o.publishAgain(p, d)
		}
	}
	for {
		if err := o.await(ctx, p, d); err != nil {
			return err
		}
		refused := o.out.refusals(d)
		if refused == nil {
			o.hold(nil)
			return nil
		}
		if !d.counted {
			d.counted = true
			r.count(refused)
		}
		switch {
		case r.strategy.Name == "":
			return o.reject(d, refused)
		case r.strategy.Name == kafka.StrategyBlock:
			return o.holdAt(d, refused)
		case d.tries < r.retries() && hasRetriable(refused):
			if err := waitOn(ctx, p, r.strategy.WaitTime); err != nil {
				return err
			}
			d.tries++
			r.retried.Incr(int64(o.publishAgain(p, d)))
		default:
			return o.giveUp(ctx, p, d, refused)
		}
	}
}

// publishAgain publishes the refused messages again that the broker may take, and returns how
// many.
func (o *output) publishAgain(p *publishing, d *transfer) (n int) {
	n = o.out.retry(d)
	p.pump()
	return n
}

func hasRetriable(refused map[int]error) bool {
	for _, err := range refused {
		if retriable(err) {
			return true
		}
	}
	return false
}

// waitOn waits while the connection lasts.
func waitOn(ctx context.Context, p *publishing, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.over:
		return service.ErrNotConnected
	case <-ctx.Done():
		return ctx.Err()
	}
}

// explain names the message that is refused.
func (d *transfer) explain(i int, err error) error {
	return fmt.Errorf("publishing message %d of %d to the topic %s: %w", i+1, len(d.messages), quoted([]byte(d.messages[i].topic)), err)
}

// reject returns the error that rejects the refused messages of a batch.
func (o *output) reject(d *transfer, refused map[int]error) error {
	var failed *service.BatchError
	for _, i := range slices.Sorted(maps.Keys(refused)) {
		err := d.explain(i, refused[i])
		if failed == nil {
			failed = service.NewBatchError(d.batch, err)
		}
		failed = failed.Failed(i, err)
	}
	return failed
}

// holdAt holds the batch because of its first refused message.
func (o *output) holdAt(d *transfer, refused map[int]error) error {
	i := slices.Min(slices.Collect(maps.Keys(refused)))
	d.held = true
	o.hold(d.explain(i, refused[i]))
	return service.ErrNotConnected
}

// giveUp discards the refused messages, or writes their dead letters.
func (o *output) giveUp(ctx context.Context, p *publishing, d *transfer, refused map[int]error) error {
	r := o.refused
	for _, i := range slices.Sorted(maps.Keys(refused)) {
		reason := d.explain(i, refused[i])
		if r.letters == nil {
			r.discarded.Incr(1)
			r.log.Add("Discarded a message: " + reason.Error())
			continue
		}
		alive := !p.closing.Load()
		if err := o.letter(ctx, p, d, i, refused[i], reason); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, service.ErrNotConnected) {
				if alive {
					d.lettersLost++
				}
				if !alive || d.lettersLost < enoughEnds {
					return err
				}
				err = p.reason() // the broker does not take the letter either
			}
			d.held = true
			o.hold(fmt.Errorf("%w; writing it to the dead letter topic %q: %w", reason, r.strategy.TopicName, err))
			return service.ErrNotConnected
		}
		o.out.countAsDone(d, i) // so that it is not written twice
		d.lettersLost = 0
		r.deadLettered.Incr(1)
		r.log.Add(fmt.Sprintf("Wrote a message to the dead letter topic %q: %s", r.strategy.TopicName, reason))
	}
	o.hold(nil)
	return nil
}

// hold records why a batch is held, nil if none is.
func (o *output) hold(why error) {
	o.mu.Lock()
	was := o.held
	o.held = why
	o.mu.Unlock()
	switch {
	case why != nil:
		o.refused.blocked.Set(1)
	case was != nil:
		o.refused.blocked.Set(0)
		o.log.Infof("The batch that was held is published")
	}
}

// heldBy returns why a batch is held, or nil.
func (o *output) heldBy() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held
}

// release ends a call of WriteBatch. The transfer is kept if the engine hands over its
// batch again.
func (o *output) release(d *transfer, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.awaited = false
	if err == nil || errors.As(err, new(*service.BatchError)) {
		o.transfers = slices.DeleteFunc(o.transfers, func(other *transfer) bool { return other == d })
	}
}

// dropLocked gives up a transfer whose batch the engine does not hand over again.
func (o *output) dropLocked(d *transfer) {
	o.transfers = slices.DeleteFunc(o.transfers, func(other *transfer) bool { return other == d })
	o.out.abandon(d)
	if d.held {
		o.held = nil
		o.refused.blocked.Set(0)
	}
}
