package cluster

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

const (
	// gatherTimeout is how long another worker may take to tell about its connectors.
	gatherTimeout = 2 * time.Second
	maxGathered   = 64 << 20
)

// nameParameter limits what is asked for to one connector.
const nameParameter = "connector_name"

// Statuses returns what workers tell about the states of connectors of which they run a
// member, by name, and which workers did not answer in time. This worker may run some that
// it does not own, because the coordinator is away. What is known is returned also with an
// error.
func (s *Service) Statuses(ctx context.Context) (told map[string][]connector.Status, silent []string, err error) {
	return gather(ctx, s, pathStatuses, s.mine(), func(one *connector.Status) string { return one.Name }, placeAt)
}

// Samples completes those of this worker, which are of all connectors, with those of
// other workers. A connector is Unknown if the worker that runs it does not answer.
func (s *Service) Samples(mine []connector.Sample) []connector.Sample {
	told, _, err := gather(context.Background(), s, pathSamples, s.mySamples(""), nameOfSample, placeSampleAt)
	if err != nil {
		s.log.Warn("The workers are not known: the connectors that others run are shown as unknown", "error", err)
	}
	mergeSamples(mine, told, s.Runs)
	return mine
}

// Complete adds to what this worker knows of a connector what the other workers know of
// the members that they run, and returns the URLs of those that did not answer in time.
// What is known is returned also with an error. Nobody is asked about a connector with one
// member.
func (s *Service) Complete(ctx context.Context, one connector.Sample) (whole connector.Sample, silent []string, err error) {
	if one.Parallelism < 2 {
		one.Worker = s.workerHere(one.Status)
		return one, nil, nil
	}
	path := pathSamples + "?" + url.Values{nameParameter: {one.Name}}.Encode()
	told, silent, err := gather(ctx, s, path, s.mySamples(one.Name), nameOfSample, placeSampleAt)
	all := []connector.Sample{one}
	mergeSamples(all, told, s.Runs)
	return all[0], silent, err
}

// workerHere is the worker of a connector with one member, as far as this one knows. While
// the coordinator is away, a worker runs connectors that it does not own.
func (s *Service) workerHere(one connector.Status) string {
	switch {
	case one.State == connector.Paused:
		return ""
	case s.Runs(one.Name, 0) || len(s.mySamples(one.Name)) > 0:
		return s.url()
	}
	return connector.UnknownWorker
}

func nameOfSample(one *connector.Sample) string { return one.Name }

// placeAt notes which worker tells about a connector, and so runs the members that it tells
// about.
func placeAt(one *connector.Status, worker string) {
	one.Worker = worker
	for i := range one.Members {
		one.Members[i].Worker = worker
	}
}

func placeSampleAt(one *connector.Sample, worker string) { placeAt(&one.Status, worker) }

func mergeSamples(all []connector.Sample, told map[string][]connector.Sample, runs func(name string, member int) bool) {
	merge(all, told, runs, func(one *connector.Sample) *connector.Status { return &one.Status }, (*connector.Sample).Add)
}

// Merge replaces connectors of all that other workers run by what these tell. A connector
// or a member about which none of them tells is Unknown.
func Merge(all []connector.Status, told map[string][]connector.Status, runs func(name string, member int) bool) {
	merge(all, told, runs, func(one *connector.Status) *connector.Status { return one }, func(*connector.Status, connector.Status) {})
}

const notKnown = "another worker runs it, or none at the moment, and its state is not known here"

func merge[T any](all []T, told map[string][]T, runs func(name string, member int) bool, statusOf func(*T) *connector.Status, add func(to *T, one T)) {
	for i := range all {
		one := statusOf(&all[i])
		if one.State == connector.Paused {
			continue
		}
		current := slices.DeleteFunc(slices.Clone(told[one.Name]), func(its T) bool { return statusOf(&its).Revision != one.Revision })
		if one.Parallelism > 1 {
			all[i] = together(all[i], current, statusOf, add)
			continue
		}
		switch {
		case one.State == connector.Failed || runs(one.Name, 0):
			one.Worker = connector.UnknownWorker
			if its := told[one.Name]; len(its) > 0 { // what this worker tells is the first
				one.Worker = statusOf(&its[0]).Worker
			}
		case len(current) > 0:
			all[i] = current[len(current)-1]
		default:
			one.State, one.Waits, one.Reason, one.Worker = connector.Unknown, nil, notKnown, connector.UnknownWorker
		}
		if one.State == connector.Paused { // the other worker knows it already
			one.Worker = ""
		}
	}
}

// together makes one connector of what workers tell about its members.
func together[T any](one T, told []T, statusOf func(*T) *connector.Status, add func(to *T, one T)) T {
	status := *statusOf(&one)
	members := map[int]connector.MemberStatus{}
	for i, its := range told {
		for _, m := range statusOf(&its).Members {
			// A worker that has just lost a member tells about it too.
			if before, known := members[m.Member]; !known || m.Better(before) {
				members[m.Member] = m
			}
		}
		if i == 0 {
			one = its
		} else {
			add(&one, its)
		}
	}
	if first, known := members[0]; !known || !first.HandsOver() {
		for member := range status.Parallelism {
			if _, known := members[member]; !known {
				members[member] = connector.MemberStatus{Member: member, State: connector.Unknown, Reason: notKnown, Worker: connector.UnknownWorker}
			}
		}
	}
	status.SetMembers(slices.Collect(maps.Values(members)))
	status.Worker = members[0].Worker
	*statusOf(&one) = status
	return one
}

// gather asks all other workers at once for something about their connectors, and returns
// it by name, together with mine. What another worker tells of a connector stands behind
// that. place notes which worker tells it.
func gather[T any](ctx context.Context, s *Service, path string, mine []T, nameOf func(*T) string, place func(one *T, worker string)) (all map[string][]T, silent []string, err error) {
	all = make(map[string][]T, len(mine))
	for _, one := range mine {
		place(&one, s.url())
		all[nameOf(&one)] = []T{one}
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
				s.log.Warn("A worker does not answer: what it runs is not known", "worker", w.URL, "error", err)
				silent = append(silent, w.URL)
				return
			}
			for _, one := range theirs {
				place(&one, w.URL)
				all[nameOf(&one)] = append(all[nameOf(&one)], one)
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

// mySamples are the same with their figures, or the one with a name.
func (s *Service) mySamples(name string) []connector.Sample {
	runner := s.running()
	switch {
	case runner == nil:
	case name == "":
		return runner.MySamples()
	default:
		if one, ok := runner.MySample(name); ok {
			return []connector.Sample{one}
		}
	}
	return []connector.Sample{}
}

func (s *Service) running() Runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runner
}
