package supervisor

import (
	"context"
	"sync"
)

// locks is one lock a name, which is there while somebody holds or wants it.
type locks struct {
	mu  sync.Mutex
	all map[string]*named
}

type named struct {
	turn  chan struct{} // holds one while the name is free
	users int
}

func newLocks() *locks { return &locks{all: make(map[string]*named)} }

// lock waits for its turn, or for the end of the context.
func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	n := l.all[name]
	if n == nil {
		n = &named{turn: make(chan struct{}, 1)}
		n.turn <- struct{}{}
		l.all[name] = n
	}
	n.users++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n.users--; n.users == 0 {
			delete(l.all, name)
		}
	}
	select {
	case <-n.turn:
		return func() {
			n.turn <- struct{}{}
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
