package mqtt

import (
	"context"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/handover"
	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

// RegisterOutput adds the output mqtt to the environment. It replaces an existing one.
func RegisterOutput(env *service.Environment, opts ...Option) error {
	return env.RegisterBatchOutput("mqtt", OutputSpec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			c, err := parseOutput(conf, opts...)
			if err != nil {
				return nil, service.BatchPolicy{}, 0, err
			}
			policy, err := conf.FieldBatchPolicy(fieldBatching)
			if err != nil {
				return nil, service.BatchPolicy{}, 0, err
			}
			c.guard = crash.Of(mgr)
			return crash.Output(newOutput(c, mgr), c.guard, "the output mqtt"), policy, c.maxInFlight, nil
		})
}

// output is what the engine drives.
//
// Keeping a batch over a lost connection relies on this contract: after WriteBatch has
// returned ErrNotConnected, the engine calls Connect until it returns nil, shows
// Connect's errors in the readiness report, and then hands over the same batch again.
type output struct {
	conf    *outputConfig
	log     *service.Logger
	out     *outbox
	joiner  *joiner
	refused *refusals
	holds   pace.Pace // between attempts with a batch that is held; Connect owns it

	mu         sync.Mutex
	publishing *publishing // the current connection, which may have ended, or nil
	transfers  []*transfer // that WriteBatch has begun and not ended
	held       error       // why a batch is held, nil without one
	closed     bool
}

func newOutput(c *outputConfig, mgr *service.Resources) *output {
	out := newOutbox()
	return &output{
		conf: c, log: mgr.Logger(), out: out,
		joiner:  newJoiner(c, out, mgr.Logger()),
		refused: newRefusals(c, mgr),
		holds:   holdPace(),
	}
}

// current returns the connection, nil without one, and whether Close was called.
func (o *output) current() (p *publishing, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.publishing, o.closed
}

// useConnection makes a connection the current one, unless the output is closed.
func (o *output) useConnection(p *publishing) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.publishing = p
	}
	return !o.closed
}

// removeConnection removes a connection that has ended, and reports whether it was the current one.
func (o *output) removeConnection(p *publishing) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.publishing == p
	if was {
		o.publishing = nil
	}
	return was
}

// admit returns the transfer of a batch, and whether it is a new one. A batch that the
// engine does not hand over again is given up.
func (o *output) admit(batch service.MessageBatch) (d *transfer, fresh bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.transfers {
		if !d.awaited && handover.Same(d.batch, batch) {
			d.awaited = true
			return d, false
		}
	}
	for i := 0; len(o.transfers) >= o.conf.maxInFlight && i < len(o.transfers); {
		if old := o.transfers[i]; !old.awaited {
			o.dropLocked(old)
		} else {
			i++
		}
	}
	d = newTransfer(batch, o.refused.judge(batch, o.conf.messages.build(batch)))
	d.awaited = true
	o.transfers = append(o.transfers, d)
	return d, true
}

// WriteBatch publishes all messages in order, and returns when the broker has
// acknowledged or refused each. If the connection ends before, it returns
// ErrNotConnected, and the rest is published on the next connection. Without a failure
// strategy it returns the refusals by message.
func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	if len(batch) == 0 {
		return nil
	}
	p, closed := o.current()
	if p == nil || closed || p.closing.Load() {
		return service.ErrNotConnected
	}
	d, fresh := o.admit(batch)
	if fresh {
		o.out.submit(d)
		p.pump()
	}
	err := o.finish(ctx, p, d)
	o.release(d, err)
	return err
}

// await waits until each message of a transfer has a result.
func (o *output) await(ctx context.Context, p *publishing, d *transfer) error {
	done := o.out.result(d)
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-p.over:
		select {
		case <-done: // by the end of the connection
			return nil
		default:
			return service.ErrNotConnected
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the connection. What is not acknowledged is given up.
func (o *output) Close(context.Context) error {
	o.mu.Lock()
	p, was := o.publishing, o.closed
	o.closed = true
	o.mu.Unlock()
	if was {
		return nil
	}
	if p != nil {
		p.leave()
	}
	o.refused.close()
	return nil
}

// ConnectionTest connects to a broker and disconnects.
func (o *output) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	opener := newOpener(&o.conf.connection, o.log, "the output mqtt")
	err := opener.probe(ctx, func(*line) user { return idle{} })
	if err == nil && o.conf.letterbox != nil {
		err = o.conf.letterbox.Test(ctx, o.log)
	}
	if err != nil {
		return service.ConnectionTestFailed(err).AsList()
	}
	return service.ConnectionTestSucceeded().AsList()
}
