package nested

import (
	"context"
	"errors"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stub is an input whose next results a test sets.
type stub struct{ connect, read error }

func (s *stub) Connect(context.Context) error { return s.connect }

func (s *stub) ReadBatch(context.Context) (service.MessageBatch, service.AckFunc, error) {
	return nil, nil, s.read
}

func (*stub) Close(context.Context) error { return nil }

func TestTheOuterInputKnowsHowTheInnerOnesAreConnected(t *testing.T) {
	r, l := service.MockResources(), New()
	one, other := &stub{}, &stub{}
	var inner []service.BatchInput
	require.NoError(t, With(r, l, func() error {
		inner = append(inner, Input(one, Of(r)), Input(other, Of(r)))
		return nil
	}))
	assert.Nil(t, Of(r), "only while the inner inputs are made")
	state := func(wantUp bool, wantErr error) {
		t.Helper()
		up, failure := l.State()
		assert.Equal(t, wantUp, up)
		assert.Equal(t, wantErr, failure)
	}
	ctx := context.Background()
	state(false, nil)
	require.NoError(t, inner[0].Connect(ctx))
	state(false, nil)
	<-l.Changed()
	refused := errors.New("refused")
	other.connect = refused
	require.ErrorIs(t, inner[1].Connect(ctx), refused)
	state(false, refused)
	other.connect = nil
	require.NoError(t, inner[1].Connect(ctx))
	state(true, nil)
	one.read = service.ErrNotConnected
	_, _, err := inner[0].ReadBatch(ctx)
	require.ErrorIs(t, err, service.ErrNotConnected)
	state(false, nil)
}

func TestAnAttemptThatIsGivenUpIsNoFailure(t *testing.T) {
	l := New()
	in := Input(&stub{connect: context.Canceled}, l)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, in.Connect(ctx), context.Canceled)
	up, failure := l.State()
	assert.False(t, up)
	assert.NoError(t, failure)
}

func TestAnInputThatNothingWrapsIsUnchanged(t *testing.T) {
	in := &stub{}
	assert.Same(t, in, Input(in, Of(service.MockResources())))
	up, failure := New().State()
	assert.True(t, up, "of an input of another kind nothing is known")
	assert.NoError(t, failure)
}
