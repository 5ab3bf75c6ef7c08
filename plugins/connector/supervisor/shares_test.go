package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// shares are who runs what.
type shares struct {
	mu      sync.Mutex
	owner   map[string]string // by connector, or by member
	workers map[string]*rig
	silent  map[string]bool // workers that do not answer others
	moves   int
	calls   int // from one worker to another
}

func newShares() *shares {
	return &shares{owner: map[string]string{}, workers: map[string]*rig{}, silent: map[string]bool{}}
}

func (s *shares) join(name string, r *rig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers[name] = r
}

func (s *shares) give(name, worker string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner[name] = worker
	s.moves++
}

func memberKey(name string, member int) string { return fmt.Sprintf("%s/%d", name, member) }

// deal gives the members of a connector to workers, one each.
func (s *shares) deal(name string, workers ...string) {
	for member, worker := range workers {
		s.give(memberKey(name, member), worker)
	}
}

func (s *shares) silence(worker string, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent[worker] = is
}

func (s *shares) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *shares) ownerOf(name string, member int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if worker, ok := s.owner[memberKey(name, member)]; ok {
		return worker
	}
	return s.owner[name]
}

// each calls the other workers that run members.
func (s *shares) each(worker, name string, members int, do func(*rig) error) error {
	var failed error
	done := map[string]bool{worker: true}
	for member := range members {
		other := s.ownerOf(name, member)
		if done[other] {
			continue
		}
		done[other] = true
		s.mu.Lock()
		r, silent := s.workers[other], s.silent[other]
		s.calls++
		s.mu.Unlock()
		err := fmt.Errorf("the worker %s, which runs member %d of %d, does not answer: try again soon", other, member+1, members)
		if r != nil && !silent {
			err = do(r)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// shareOf is that of one worker.
type shareOf struct {
	*shares
	worker string
	fenced atomic.Bool
}

func (s *shareOf) Runs(name string, member int) bool { return s.ownerOf(name, member) == s.worker }

func (s *shareOf) Membership() connector.Membership {
	return connector.Membership{Workers: 2, Partitions: 7, Confirmed: true, Rebalances: 3, LastRebalance: time.Unix(1e9, 0), Took: 1500 * time.Millisecond}
}

func (s *shareOf) Confirm(context.Context, string, int) error {
	if s.fenced.Load() {
		return errors.New("the coordinator says no")
	}
	return nil
}

func (s *shareOf) Hold(ctx context.Context, name string, revision, members int, operation string) (func() error, error) {
	s.mu.Lock()
	moves := s.moves
	s.mu.Unlock()
	err := s.each(s.worker, name, members, func(r *rig) error { return r.Hold(ctx, name, revision, operation) })
	if err != nil {
		_ = s.LetGo(name, members, operation, false)
		return nil, err
	}
	return func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.moves != moves {
			return errChanged
		}
		return nil
	}, nil
}

func (s *shareOf) LetGo(name string, members int, operation string, afresh bool) error {
	return s.each(s.worker, name, members, func(r *rig) error { return r.LetGo(context.Background(), name, operation, afresh) })
}
