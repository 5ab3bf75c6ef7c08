package diskbuffer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/backlog"
	"github.com/robustmq/robustmq-connect/plugins/internal/budget"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/disklog"
	"github.com/robustmq/robustmq-connect/plugins/internal/latency"
	"github.com/robustmq/robustmq-connect/plugins/internal/nested"
)

const componentName = "the input disk_buffer"

// Register adds the input disk_buffer to the environment.
func Register(env *service.Environment) error {
	return env.RegisterBatchInput("disk_buffer", Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
			c, err := parseConfig(conf)
			if err != nil {
				return nil, err
			}
			link := nested.New()
			inner, err := innerInput(conf, mgr, link)
			if err != nil {
				return nil, err
			}
			guard := crash.Of(mgr)
			in := newInput(c, inner, link, guard, mgr)
			return nested.Input(crash.Input(in, guard, componentName), nested.Of(mgr)), nil
		})
}

// input is what the engine drives. Close may be called at any time, and
// acknowledgements may come after it.
type input struct {
	conf    *config
	log     *service.Logger
	inner   inner
	link    *nested.Link
	guard   *crash.Guard
	latency *latency.Histogram // nil where nobody asks
	share   *budget.Member     // of what all inputs may hold, nil without a bound
	handed  atomic.Int64       // bytes that the pipeline has and has not answered for
	figures *figures

	pendings *pendings
	shown    shown

	// Of Connect and ReadBatch, which the engine does not call at the same time.
	decoder decoder
	failure error // of the last read, which the next Connect returns
	told    error // what Connect returned last

	mu      sync.Mutex
	buffer  *disklog.Log // nil before it is open
	ended   bool         // the inner input has no more messages
	closed  bool         // Close was called
	stop    context.CancelFunc
	running sync.WaitGroup // collect and monitor
	writing sync.WaitGroup // the log's Run
	state   chan struct{}  // one slot: ended, or closed
}

func newInput(c *config, inner inner, link *nested.Link, guard *crash.Guard, mgr *service.Resources) *input {
	in := &input{
		conf: c, log: mgr.Logger(), inner: inner, link: link, guard: guard,
		latency: latency.Of(mgr), figures: newFigures(mgr), pendings: newPendings(),
		state: make(chan struct{}, 1),
	}
	if nested.Of(mgr) != nil {
		in.latency = nil
	}
	in.share = budget.Of(mgr).Join(in.handed.Load)
	backlog.Of(mgr).Set(in.backlog)
	c.log.Warn = func(text string) { in.log.Warn(text) }
	return in
}

// Connect opens the buffer, and reports why nothing arrives: the disk, or the
// connection of the inner input. While the buffer has messages it returns nil.
func (i *input) Connect(ctx context.Context) error {
	if err := i.open(); err != nil {
		return err
	}
	for {
		i.mu.Lock()
		closed, buffer := i.closed, i.buffer
		i.mu.Unlock()
		if closed {
			return service.ErrEndOfInput
		}
		if failure := i.failure; failure != nil {
			i.failure = nil
			return failure
		}
		trouble := i.trouble()
		if i.pendings.has() || buffer.Readable() || trouble == nil {
			i.told = nil
			return nil
		}
		if trouble.err != nil && (i.told == nil || i.told.Error() != trouble.err.Error()) {
			i.told = trouble.err
			return trouble.err
		}
		select {
		case <-i.link.Changed():
			i.told = nil // the inner input has failed again
		case <-buffer.Arrived():
		case <-i.pendings.added:
		case <-i.state:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// trouble is why nothing arrives in the buffer.
type trouble struct {
	err error // nil if that is not known yet
}

func (i *input) trouble() *trouble {
	if failure := i.buffer.Stats().Failure; failure != nil {
		return &trouble{unwritable(failure)}
	}
	i.mu.Lock()
	ended := i.ended
	i.mu.Unlock()
	if up, failure := i.link.State(); !up && !ended {
		return &trouble{failure}
	}
	return nil
}

func unwritable(failure error) error {
	return fmt.Errorf("the disk buffer cannot be written: %w", failure)
}

// open opens the buffer and starts to collect, once.
func (i *input) open() (err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.buffer != nil || i.closed {
		return nil
	}
	defer func() { i.shown.fail(err) }()
	files, err := disklog.OpenDir(i.conf.path)
	if err != nil {
		return fmt.Errorf("opening the disk buffer: %w", err)
	}
	buffer, err := disklog.Open(files, i.conf.log)
	if err != nil {
		return fmt.Errorf("opening the disk buffer in %s: %w", i.conf.path, err)
	}
	i.buffer = buffer
	i.shown.buffer.Store(buffer)
	var ctx context.Context
	ctx, i.stop = context.WithCancel(context.Background())
	i.writing.Go(func() {
		defer i.guard.Catch(componentName + ", writing")
		buffer.Run()
	})
	i.running.Go(func() {
		defer i.guard.Catch(componentName + ", reading its input")
		i.collect(ctx)
	})
	i.running.Go(func() {
		defer i.guard.Catch(componentName + ", watching its files")
		i.watch(ctx)
	})
	return nil
}

// ReadBatch returns rejected messages first, then what is on disk. It waits if there is
// neither.
func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	for {
		i.mu.Lock()
		closed, ended := i.closed, i.ended
		i.mu.Unlock()
		if closed {
			return nil, nil, service.ErrEndOfInput
		}
		var room <-chan struct{}
		if i.share.Room() {
			p, err := i.next(ctx)
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			i.shown.fail(err)
			switch {
			case err != nil:
				i.failure = err
				return nil, nil, service.ErrNotConnected
			case p != nil:
				if batch, ack := i.hand(p); len(batch) > 0 {
					return batch, ack, nil
				}
				continue
			}
			if ended && i.buffer.Stats().Messages == 0 {
				return nil, nil, service.ErrEndOfInput
			}
			if i.trouble() != nil {
				return nil, nil, service.ErrNotConnected
			}
		} else {
			room = i.share.Changed()
		}
		select {
		case <-room:
		case <-i.buffer.Arrived():
		case <-i.pendings.added:
		case <-i.link.Changed():
		case <-i.state:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// closeWait is how long Close waits for the inner input.
const closeWait = 10 * time.Second

// Close stops the inner input and leaves on disk what the pipeline has not finished.
func (i *input) Close(ctx context.Context) error {
	i.mu.Lock()
	again, buffer := i.closed, i.buffer
	i.closed = true
	i.mu.Unlock()
	if again {
		return nil
	}
	select {
	case i.state <- struct{}{}:
	default:
	}
	defer i.share.Leave()
	if buffer == nil {
		return i.inner.CloseUnused(ctx)
	}
	i.stop()
	i.running.Wait()
	buffer.Stop()
	i.writing.Wait()
	// The inner input has every answer, unless a panic has ended what gives them.
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	err := i.inner.Close(ctx)
	return errors.Join(err, buffer.Close())
}

// ConnectionTest tests the inner input.
func (i *input) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	return i.inner.ConnectionTest(ctx)
}
