package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

const (
	// maxSilence is how long a batch may go without any acknowledgement before the
	// output is not ready.
	maxSilence = 5 * time.Second
	// maxPatience is how long the output then waits for an answer to a ping. Both
	// together are less than ten seconds, within which the reason must be known.
	maxPatience = 4 * time.Second
	// glances is how often the output checks for acknowledgements during one silence.
	glances = 20
	// unreachable is the fraction of a silence after which the output stops waiting if
	// the client cannot connect to a broker.
	unreachable = 5
)

// await waits for the delivery of the batch to end.
func (o *output) await(ctx context.Context, p *producer, d *delivery, batch service.MessageBatch) error {
	glance := time.NewTicker(o.silence / glances)
	defer glance.Stop()
	silent := false
	for {
		select {
		case <-d.done:
			if silent {
				o.silenceEnds()
			}
			return o.result(p, d, batch)
		case <-ctx.Done():
			if o.conf.oneAtATime() {
				o.hold(d)
			}
			return ctx.Err()
		case now := <-glance.C:
			if silent || !o.tooQuiet(p, d, now) {
				continue
			}
			o.warnOfSilence(d, now)
			if o.conf.oneAtATime() {
				o.hold(d)
				return service.ErrNotConnected
			}
			silent = true
			o.silenceBegins()
		}
	}
}

// tooQuiet reports whether the delivery has had no acknowledgement for so long that it
// must be reported. It looks one check ahead, because the last acknowledgement may be
// that much older.
func (o *output) tooQuiet(p *producer, d *delivery, now time.Time) bool {
	if via := d.deadLettersVia.Load(); via != nil {
		p = via
	}
	quiet := d.quiet(now) + o.silence/glances
	return quiet >= o.silence || p.connectFailures.brokenSince(d.activeAt) && quiet >= o.silence/unreachable
}

func (o *output) warnOfSilence(d *delivery, now time.Time) {
	what := "the output is not ready until it does, and keeps the batch"
	if !o.conf.oneAtATime() {
		what = "it is sent again until it does"
	}
	d.warned = o.warnings.warn("silence", fmt.Sprintf("Kafka has acknowledged nothing of a batch of %d messages for %s: %s",
		len(d.batch), d.quiet(now).Round(time.Second/10), what))
}

// hold keeps the batch that the engine will hand over again; nil for none.
func (o *output) hold(d *delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holding = d
	o.tellBlockedLocked()
}

func (o *output) silenceBegins() { o.countSilent(1) }
func (o *output) silenceEnds()   { o.countSilent(-1) }

func (o *output) countSilent(more int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.silent += more
	o.tellBlockedLocked()
}

func (o *output) tellBlockedLocked() {
	if o.holding != nil || o.silent > 0 {
		o.metrics.blocked.Set(1)
	} else {
		o.metrics.blocked.Set(0)
	}
}

// result returns what WriteBatch reports about a delivery that has ended.
func (o *output) result(p *producer, d *delivery, batch service.MessageBatch) error {
	if d.fault != nil {
		o.hold(d)
		return service.ErrNotConnected
	}
	if o.conf.oneAtATime() {
		o.hold(nil)
	}
	if d.warned {
		o.logger.Infof("Kafka acknowledges again: a batch was written after %s", time.Since(d.began).Round(time.Second/10))
	}
	if o.tail.Watched() {
		o.tail.Offer(len(d.records), func(i int) tail.Message { return o.message(d, i) })
	}
	if o.handler != nil {
		o.finished(d, len(d.handled))
		return nil
	}
	return o.rejected(p, d, batch)
}
