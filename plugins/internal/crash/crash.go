// Package crash lets a panic end one stream instead of the process.
//
// A service that runs many streams gives each a Guard. Components of ours find it
// by Of, wrap what the engine calls by Input, Output and Processor, and defer Catch
// in their goroutines and callbacks. After the first panic the stream is of no use:
// its state may be half-changed. So it acknowledges and rejects nothing any more,
// and whoever watches the guard stops it; the broker delivers again what was under
// way. Without a guard a panic ends the process, as it should where there is one
// stream.
package crash

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Guard keeps the first panic of a stream. A nil guard lets panics pass.
type Guard struct {
	report  func(*Error)
	once    sync.Once
	tripped chan struct{}
	err     *Error
}

// Error is a panic.
type Error struct {
	Where string // in what component or callback
	Value any
	Stack []byte
}

// longest is how much of a panic's text is kept: it may quote a message.
const longest = 300

func (e *Error) Error() string {
	text := fmt.Sprint(e.Value)
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return fmt.Sprintf("a panic in %s: %s", e.Where, text)
}

// New makes a guard. It reports the first panic, in the goroutine that panicked;
// report must not block.
func New(report func(*Error)) *Guard {
	return &Guard{report: report, tripped: make(chan struct{})}
}

type key struct{}

// Watch makes g the guard of a stream, before it runs.
func Watch(r *service.Resources, g *Guard) { r.SetGeneric(key{}, g) }

// Of returns the guard of a component's stream, nil where there is none.
func Of(r *service.Resources) *Guard {
	g, _ := r.GetGeneric(key{})
	guard, _ := g.(*Guard)
	return guard
}

// Tripped is closed by the first panic.
func (g *Guard) Tripped() <-chan struct{} { return g.tripped }

// Err returns the first panic, nil before it.
func (g *Guard) Err() error {
	if g == nil {
		return nil
	}
	select {
	case <-g.tripped:
		return g.err
	default:
		return nil
	}
}

// Catch is deferred, itself and not within another function, where a panic must
// not pass. It calls then, in turn, with the panic after one.
func (g *Guard) Catch(where string, then ...func(error)) {
	if g == nil {
		return // without a call of recover the panic goes on
	}
	value := recover()
	if value == nil {
		return
	}
	err := &Error{Where: where, Value: value, Stack: debug.Stack()}
	g.once.Do(func() {
		g.err = err
		close(g.tripped)
		g.report(err)
	})
	for _, f := range then {
		f(err)
	}
}

// over is the error that ends a component's part in a stream that has panicked:
// the engine neither acknowledges nor rejects what it returns it for.
func (g *Guard) over(err error) error {
	if g.Err() != nil {
		return service.ErrEndOfInput
	}
	return err
}

// connection is the part that an input and an output share.
type connection struct {
	end interface {
		Connect(ctx context.Context) error
		Close(ctx context.Context) error
	}
	guard *Guard
	where string
}

func (c *connection) Connect(ctx context.Context) (err error) {
	defer func() { err = c.guard.over(err) }()
	defer c.guard.Catch(c.where)
	if c.guard.Err() != nil {
		return service.ErrEndOfInput
	}
	return c.end.Connect(ctx)
}

func (c *connection) Close(ctx context.Context) error {
	defer c.guard.Catch(c.where)
	return c.end.Close(ctx)
}

// Input guards an input. It returns it as it is without a guard.
func Input(in service.BatchInput, g *Guard, where string) service.BatchInput {
	if g == nil {
		return in
	}
	return &input{connection{in, g, where}, in}
}

type input struct {
	connection
	inner service.BatchInput
}

func (i *input) ReadBatch(ctx context.Context) (batch service.MessageBatch, ack service.AckFunc, err error) {
	defer func() { err = i.guard.over(err) }()
	defer i.guard.Catch(i.where)
	if i.guard.Err() != nil {
		return nil, nil, service.ErrEndOfInput
	}
	batch, answer, err := i.inner.ReadBatch(ctx)
	if err != nil {
		return nil, nil, err
	}
	return batch, func(ctx context.Context, result error) error {
		defer i.guard.Catch(i.where)
		if i.guard.Err() != nil {
			return nil
		}
		return answer(ctx, result)
	}, nil
}

// Output guards an output. It returns it as it is without a guard.
func Output(out service.BatchOutput, g *Guard, where string) service.BatchOutput {
	if g == nil {
		return out
	}
	return &output{connection{out, g, where}, out}
}

type output struct {
	connection
	inner service.BatchOutput
}

func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) (err error) {
	defer func() { err = o.guard.over(err) }()
	defer o.guard.Catch(o.where)
	if o.guard.Err() != nil {
		return service.ErrEndOfInput
	}
	return o.inner.WriteBatch(ctx, batch)
}

// Processor guards a processor. It returns it as it is without a guard. After a
// panic batches pass unchanged: nobody acknowledges them.
func Processor(p service.BatchProcessor, g *Guard, where string) service.BatchProcessor {
	if g == nil {
		return p
	}
	return &processor{p, g, where}
}

type processor struct {
	service.BatchProcessor
	guard *Guard
	where string
}

func (p *processor) ProcessBatch(ctx context.Context, batch service.MessageBatch) (out []service.MessageBatch, err error) {
	out = []service.MessageBatch{batch}
	defer p.guard.Catch(p.where)
	if p.guard.Err() != nil {
		return out, nil
	}
	return p.BatchProcessor.ProcessBatch(ctx, batch)
}

func (p *processor) Close(ctx context.Context) error {
	defer p.guard.Catch(p.where)
	return p.BatchProcessor.Close(ctx)
}
