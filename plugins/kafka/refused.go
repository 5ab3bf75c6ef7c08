package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/throttle"
)

// failureHandler applies the failure strategy to refused records. One delivery at a
// time uses it.
type failureHandler struct {
	conf    *config
	metrics metrics
	dead    *deadLetters // nil unless the strategy needs them
	log     *throttle.Log
}

// newFailureHandler returns nil if there is no strategy.
func newFailureHandler(conf *config, m metrics, mgr *service.Resources) *failureHandler {
	if conf.strategy.Name == "" {
		return nil
	}
	logger := mgr.Logger()
	if conf.acks == "none" {
		logger.Warnf("With acks none Kafka reports no refusals: records that it refuses are lost without notice, and %s %s handles only records that are not sent", fieldFailureStrategy, conf.strategy.Name)
	}
	r := &failureHandler{conf: conf, metrics: m, log: throttle.New(time.Second, "records", func(text string) { logger.Warn(text) })}
	if conf.strategy.Name == StrategyDeadMessageQueue {
		r.dead = newDeadLetters(conf, mgr)
	}
	return r
}

func (r *failureHandler) close() {
	r.log.Close()
	if r.dead != nil {
		r.dead.close()
	}
}

// markErrored adds to errs the messages that carry an error, because their content must
// not be written as if the processor had succeeded. It completes all records that
// cannot be written, so that they can be dead-lettered.
func (r *failureHandler) markErrored(batch service.MessageBatch, records []kgo.Record, errs []error) []error {
	if errs == nil && r.conf.records.envelope != nil {
		return nil // which do not accept messages with an error
	}
	for i, msg := range batch {
		if err := msg.GetError(); err != nil {
			if errs == nil {
				errs = make([]error, len(batch))
			}
			errs[i] = &recordError{&messageError{err}}
		}
		if errs != nil && errs[i] != nil {
			r.conf.records.fallback(&records[i], msg)
		}
	}
	return errs
}

// handles reports whether the strategy handles the refusal; otherwise the refusal holds
// the batch. exhausted tells whether reaching a limit on retries or time counts as a
// refusal.
func (r *failureHandler) handles(err error, exhausted bool) bool {
	if r.conf.strategy.Name == StrategyBlock {
		return false
	}
	return classify(err) == classRecord || exhausted && r.conf.limits.reached(err) ||
		!r.conf.records.topic.isConstant && errors.Is(err, kerr.InvalidTopicException)
}

// retries returns how often to retry a record that was refused alone, and how long to
// wait before each retry. A record that arrives damaged may have been damaged in
// transit.
func (r *failureHandler) retries(err error) (times int, wait time.Duration) {
	times, wait = r.conf.strategy.RetryTotalTimes, r.conf.strategy.WaitTime
	if errors.Is(err, kerr.CorruptMessage) {
		times, wait = max(times, 3), max(wait, 100*time.Millisecond)
	}
	return times, wait
}

// discardOrDeadLetter gives up a refused record; refusal is the explained reason. An
// error means that the dead letter could not be written.
func (r *failureHandler) discardOrDeadLetter(record *kgo.Record, refusal error, d *delivery) error {
	if r.dead == nil {
		r.metrics.discarded.Incr(1, r.conf.strategy.Name)
		r.log.Add(fmt.Sprintf("Discarded a record: %s", refusal))
		return nil
	}
	if err := r.dead.write(record, refusal, d); err != nil {
		return err
	}
	r.metrics.deadLettered.Incr(1)
	r.log.Add(fmt.Sprintf("Wrote a record to the dead letter topic %q: %s", r.conf.strategy.TopicName, refusal))
	return nil
}
