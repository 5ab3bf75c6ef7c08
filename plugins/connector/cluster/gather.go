package cluster

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

const (
	// gatherTimeout is how long another worker may take to tell about its connectors.
	gatherTimeout = 2 * time.Second
	maxGathered   = 64 << 20
)

// Statuses returns the states of connectors that workers run, by name, and which workers
// did not answer in time. This worker may run some that it does not own, because the
// coordinator is away. What is known is returned also with an error.
func (s *Service) Statuses(ctx context.Context) (all map[string]connector.Status, silent []string, err error) {
	return gather(ctx, s, pathStatuses, s.mine(), func(one *connector.Status) string { return one.Name })
}

// Samples completes those of this worker, which are of all connectors, with those of
// other workers. A connector is Unknown if the worker that runs it does not answer.
func (s *Service) Samples(mine []connector.Sample) []connector.Sample {
	theirs, _, err := gather(context.Background(), s, pathSamples, s.mySamples(), func(one *connector.Sample) string { return one.Name })
	if err != nil {
		s.log.Warn("The workers are not known: the connectors that others run are shown as unknown", "error", err)
	}
	Merge(mine, theirs, s.Runs, func(one *connector.Sample) *connector.Status { return &one.Status })
	return mine
}

// Merge replaces connectors of all that other workers run by what these know. A connector
// about which none of them tells is Unknown.
func Merge[T any](all []T, theirs map[string]T, runs func(name string) bool, statusOf func(*T) *connector.Status) {
	for i := range all {
		one := statusOf(&all[i])
		if one.State == connector.Paused || one.State == connector.Failed || runs(one.Name) {
			continue
		}
		known, ok := theirs[one.Name]
		if ok && statusOf(&known).Revision == one.Revision {
			all[i] = known
			continue
		}
		one.State, one.Waits = connector.Unknown, nil
		one.Reason = "another worker runs it, or none at the moment, and its state is not known here"
	}
}

// gather asks all other workers at once for something about their connectors, and returns
// it by name, together with mine.
func gather[T any](ctx context.Context, s *Service, path string, mine []T, nameOf func(*T) string) (all map[string]T, silent []string, err error) {
	all = make(map[string]T, len(mine))
	for _, one := range mine {
		all[nameOf(&one)] = one
	}
	m := s.joined()
	if m == nil {
		return all, nil, errNotJoined
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	workers, err := m.Workers(ctx)
	if err != nil {
		return all, nil, err
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, w := range workers {
		if w.Self {
			continue
		}
		asking.Go(func() {
			var theirs []T
			err := s.call(ctx, http.MethodGet, w.URL+path, nil, maxGathered, &theirs)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.log.Warn("A worker does not tell the states of its connectors: they are unknown", "worker", w.URL, "error", err)
				silent = append(silent, w.URL)
				return
			}
			for _, one := range theirs {
				all[nameOf(&one)] = one
			}
		})
	}
	asking.Wait()
	return all, silent, nil
}

// mine returns the connectors that this worker runs.
func (s *Service) mine() []connector.Status {
	if runner := s.running(); runner != nil {
		return runner.Mine()
	}
	return []connector.Status{}
}

func (s *Service) mySamples() []connector.Sample {
	if runner := s.running(); runner != nil {
		return runner.MySamples()
	}
	return []connector.Sample{}
}

func (s *Service) running() Runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runner
}
