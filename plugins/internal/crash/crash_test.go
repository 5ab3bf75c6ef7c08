package crash

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// broken panics in each method whose name is in at.
type broken struct{ at map[string]bool }

func (b broken) panics(at string) error {
	if b.at[at] {
		panic(at)
	}
	return nil
}

func (b broken) Connect(context.Context) error { return b.panics("connect") }

func (b broken) ReadBatch(context.Context) (service.MessageBatch, service.AckFunc, error) {
	return service.MessageBatch{service.NewMessage(nil)}, func(context.Context, error) error { return b.panics("ack") }, b.panics("read")
}

func (b broken) WriteBatch(context.Context, service.MessageBatch) error { return b.panics("write") }

func (b broken) ProcessBatch(context.Context, service.MessageBatch) ([]service.MessageBatch, error) {
	return nil, b.panics("process")
}

func (b broken) Close(context.Context) error { return b.panics("close") }

func TestEverythingThatTheEngineCallsIsGuarded(t *testing.T) {
	ctx := t.Context()
	batch := service.MessageBatch{service.NewMessage([]byte("x"))}
	for at, call := range map[string]func(b broken, g *Guard) error{
		"connect": func(b broken, g *Guard) error { return Input(b, g, "it").Connect(ctx) },
		"read":    func(b broken, g *Guard) error { _, _, err := Input(b, g, "it").ReadBatch(ctx); return err },
		"ack": func(b broken, g *Guard) error {
			_, ack, err := Input(b, g, "it").ReadBatch(ctx)
			require.NoError(t, err)
			require.NoError(t, ack(ctx, nil))
			require.NoError(t, ack(ctx, nil), "it is not called again")
			return service.ErrEndOfInput
		},
		"write": func(b broken, g *Guard) error { return Output(b, g, "it").WriteBatch(ctx, batch) },
		"process": func(b broken, g *Guard) error {
			out, err := Processor(b, g, "it").ProcessBatch(ctx, batch)
			require.NoError(t, err)
			assert.Equal(t, []service.MessageBatch{batch}, out)
			return service.ErrEndOfInput
		},
		"close": func(b broken, g *Guard) error {
			require.NoError(t, Input(b, g, "it").Close(ctx))
			require.NoError(t, Output(b, g, "it").Close(ctx))
			require.NoError(t, Processor(b, g, "it").Close(ctx))
			return service.ErrEndOfInput
		},
	} {
		var told []*Error
		g := New(func(err *Error) { told = append(told, err) })
		b := broken{map[string]bool{at: true}}
		require.ErrorIs(t, call(b, g), service.ErrEndOfInput, at)
		require.Len(t, told, 1, at)
		assert.Equal(t, "a panic in it: "+at, told[0].Error())
		assert.Contains(t, string(told[0].Stack), "crash_test.go")
		assert.Equal(t, error(told[0]), g.Err())
		<-g.Tripped()

		// After a panic, no component of the stream starts or answers anything.
		healthy := broken{}
		in, out := Input(healthy, g, "other"), Output(healthy, g, "other")
		require.ErrorIs(t, in.Connect(ctx), service.ErrEndOfInput)
		_, _, err := in.ReadBatch(ctx)
		require.ErrorIs(t, err, service.ErrEndOfInput)
		require.ErrorIs(t, out.Connect(ctx), service.ErrEndOfInput)
		require.ErrorIs(t, out.WriteBatch(ctx, batch), service.ErrEndOfInput)

		assert.PanicsWithValue(t, at, func() { _ = call(b, nil) }, "without a guard the panic is not caught")
	}
}

// A batch that was in flight when another component panicked is not answered.
func TestAnAnswerAfterAPanicIsIgnored(t *testing.T) {
	g := New(func(*Error) {})
	_, ack, err := Input(broken{map[string]bool{"ack": true}}, g, "it").ReadBatch(t.Context())
	require.NoError(t, err)
	func() {
		defer g.Catch("a goroutine")
		panic("first")
	}()
	require.NoError(t, ack(t.Context(), errors.New("refused")))
	assert.EqualError(t, g.Err(), "a panic in a goroutine: first")
}

func TestOnlyTheFirstPanicIsReported(t *testing.T) {
	told := 0
	g := New(func(*Error) { told++ })
	require.NoError(t, g.Err())
	for _, text := range []string{"first " + strings.Repeat("x", 1000), "second"} {
		var then error
		func() {
			defer g.Catch("it", func(err error) { then = err })
			panic(text)
		}()
		require.ErrorContains(t, then, text[:5], "the clean-up runs after each panic")
	}
	assert.Equal(t, 1, told)
	assert.Less(t, len(g.Err().Error()), 350)
	func() { defer g.Catch("it", func(error) { t.Error("there was no panic") }) }()
	require.NoError(t, (*Guard)(nil).Err())
}

func TestAStreamHasOneGuard(t *testing.T) {
	r := service.MockResources()
	assert.Nil(t, Of(r))
	g := New(nil)
	Watch(r, g)
	assert.Same(t, g, Of(r))
}
