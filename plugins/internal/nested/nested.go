// Package nested tells an input that wraps another one how the inner one is connected.
// The engine shows only the connection of the outer one.
package nested

import (
	"context"
	"errors"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Link is between an outer and the inner inputs. An inner input of a kind that does not
// use the link counts as connected.
type Link struct {
	// changed has one slot: it is signalled when the state may have changed.
	changed chan struct{}

	mu    sync.Mutex
	inner []*state
}

type state struct {
	up      bool
	failure error // of the last Connect, nil before
}

// New returns a link that no inner input uses yet.
func New() *Link { return &Link{changed: make(chan struct{}, 1)} }

type key struct{}

// With calls build, which makes the inner input. The engine makes the components of a
// stream one after the other.
func With(r *service.Resources, l *Link, build func() error) error {
	outer := Of(r)
	r.SetGeneric(key{}, l)
	defer r.SetGeneric(key{}, outer)
	return build()
}

// Of returns the link to the input that wraps the one that is being made, or nil.
func Of(r *service.Resources) *Link {
	l, _ := r.GetGeneric(key{})
	link, _ := l.(*Link)
	return link
}

// State returns whether all inner inputs are connected, and otherwise why one is not, nil
// before its first attempt has ended.
func (l *Link) State() (up bool, failure error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.inner {
		if !s.up {
			return false, s.failure
		}
	}
	return true, nil
}

// Changed receives a value when the state may have changed.
func (l *Link) Changed() <-chan struct{} { return l.changed }

func (l *Link) set(s *state, up bool, failure error) {
	l.mu.Lock()
	s.up, s.failure = up, failure
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Input makes an input report its connection to the link. Without a link it returns in
// unchanged.
func Input(in service.BatchInput, l *Link) service.BatchInput {
	if l == nil {
		return in
	}
	i := &input{BatchInput: in, link: l, state: &state{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inner = append(l.inner, i.state)
	return i
}

type input struct {
	service.BatchInput
	link  *Link
	state *state
}

func (i *input) Connect(ctx context.Context) error {
	err := i.BatchInput.Connect(ctx)
	switch {
	case err == nil:
		i.link.set(i.state, true, nil)
	case ctx.Err() == nil:
		i.link.set(i.state, false, err)
	}
	return err
}

func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	batch, ack, err := i.BatchInput.ReadBatch(ctx)
	if errors.Is(err, service.ErrNotConnected) {
		i.link.set(i.state, false, nil)
	}
	return batch, ack, err
}

// ConnectionTest tests the inner input, if it can be tested.
func (i *input) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	if in, ok := i.BatchInput.(service.ConnectionTestable); ok {
		return in.ConnectionTest(ctx)
	}
	return service.ConnectionTestNotSupported().AsList()
}
