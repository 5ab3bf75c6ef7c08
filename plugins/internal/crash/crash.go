// Package crash makes a panic end one stream instead of the process.
//
// A service that runs many streams gives each a Guard. Our components get it with Of,
// wrap what the engine calls with Input, Output and Processor, and defer Catch in their
// goroutines and callbacks. After the first panic the stream is unusable, because its
// state may be inconsistent. So it acknowledges and rejects nothing more, and the owner
// of the guard stops it; the broker redelivers what was in flight. Without a guard a
// panic ends the process, which is right if it runs only one stream.
package crash

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Guard keeps the first panic of a stream. A nil guard does not catch panics.
type Guard struct {
	report  func(*Error)
	once    sync.Once
	tripped chan struct{}
	err     *Error
}

// Error is a panic.
type Error struct {
	Where string // the component or callback
	Value any
	Stack []byte
}

// longest is how much of a panic's text is kept, because the text may quote a message.
const longest = 300

func (e *Error) Error() string {
	text := fmt.Sprint(e.Value)
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return fmt.Sprintf("a panic in %s: %s", e.Where, text)
}

// New returns a guard. It calls report with the first panic, in the goroutine that
// panicked; report must not block.
func New(report func(*Error)) *Guard {
	return &Guard{report: report, tripped: make(chan struct{})}
}

type key struct{}

// Watch sets the guard of a stream. Call it before the stream runs.
func Watch(r *service.Resources, g *Guard) { r.SetGeneric(key{}, g) }

// Of returns the guard of a component's stream, or nil.
func Of(r *service.Resources) *Guard {
	g, _ := r.GetGeneric(key{})
	guard, _ := g.(*Guard)
	return guard
}

// Tripped is closed by the first panic.
func (g *Guard) Tripped() <-chan struct{} { return g.tripped }

// Err returns the first panic, or nil.
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

// Catch stops a panic. It must be deferred directly, not called within another
// function. It calls the functions in then, in order, with the panic.
func (g *Guard) Catch(where string, then ...func(error)) {
	if g == nil {
		return // without a call of recover the panic continues
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

// Recover stops a panic where there is no stream to end, and calls report with it. It
// must be deferred directly.
func Recover(where string, report func(*Error)) {
	if value := recover(); value != nil {
		report(&Error{Where: where, Value: value, Stack: debug.Stack()})
	}
}

// over returns the error that ends a component of a stream that has panicked: for this
// error the engine neither acknowledges nor rejects.
func (g *Guard) over(err error) error {
	if g.Err() != nil {
		return service.ErrEndOfInput
	}
	return err
}

// connection is shared by guarded inputs and outputs.
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

// Input guards an input. Without a guard it returns in unchanged.
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

// Output guards an output. Without a guard it returns out unchanged.
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

// Processor guards a processor. Without a guard it returns p unchanged. After a panic,
// batches pass unchanged: nobody acknowledges them.
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
