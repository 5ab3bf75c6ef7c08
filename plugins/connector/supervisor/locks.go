package supervisor

import (
	"context"
	"sync"
)

// locks has one lock per name, which exists while somebody holds it or waits for it.
type locks struct {
	mu  sync.Mutex
	all map[string]*named
}

type named struct {
	turn  chan struct{} // contains one value while the name is unlocked
	users int
}

func newLocks() *locks { return &locks{all: make(map[string]*named)} }

// lock waits for the lock, or for the end of the context.
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
