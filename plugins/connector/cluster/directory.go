package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const (
	// directoryAge is how long a description of the group is used.
	directoryAge = 2 * time.Second
	// describeTimeout is how long the coordinator may take to describe the group.
	describeTimeout = 3 * time.Second
)

// Worker is one member of the group.
type Worker struct {
	URL        string  // of its API
	Self       bool    // it is this worker
	Partitions []int32 // as far as is known
}

// directory knows the members of the group and their addresses. During a rebalance the
// coordinator does not tell who owns what, so the last answer is kept.
type directory struct {
	describe func(context.Context) (kadm.DescribedGroup, error)

	mu      sync.Mutex
	at      time.Time // of the last description
	workers []described
	asking  chan struct{} // closed with the answer, nil while nobody asks
	err     error         // of the last question
}

type described struct {
	Worker
	id string
}

func (d *directory) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = time.Time{}
}

// known counts the members of the last answer.
func (d *directory) known() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.workers)
}

// refreshed returns the members, after the coordinator was asked if the last answer is
// old. While the coordinator does not answer, it returns the last answer at once. The
// error means that there is no answer at all.
func (d *directory) refreshed(ctx context.Context) ([]described, error) {
	d.mu.Lock()
	if time.Since(d.at) < directoryAge {
		defer d.mu.Unlock()
		return d.workers, nil
	}
	if d.asking == nil {
		d.asking = make(chan struct{})
		go d.ask(d.asking)
	}
	answered, known := d.asking, d.workers
	if known != nil && d.err != nil {
		d.mu.Unlock()
		return known, nil
	}
	d.mu.Unlock()
	select {
	case <-answered:
	case <-ctx.Done():
		if known != nil {
			return known, nil
		}
		return nil, context.Cause(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.workers == nil {
		return nil, d.err
	}
	return d.workers, nil
}

func (d *directory) ask(answered chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), describeTimeout)
	defer cancel()
	group, err := d.describe(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(answered)
	d.asking, d.err = nil, err
	if err != nil {
		return
	}
	if group.State == "Stable" {
		d.at = time.Now()
	}
	d.workers = merged(d.workers, group)
}

// merged returns the members of a group. A member whose partitions are not told keeps
// those that it had.
func merged(before []described, group kadm.DescribedGroup) []described {
	all := make([]described, 0, len(group.Members))
	for _, member := range group.Members {
		one := described{id: member.MemberID, Worker: Worker{URL: strings.TrimSuffix(member.ClientID, "/")}}
		if c, ok := member.Assigned.AsConsumer(); ok && group.State == "Stable" {
			for _, t := range c.Topics {
				one.Partitions = append(one.Partitions, t.Partitions...)
			}
		} else if at := slices.IndexFunc(before, func(d described) bool { return d.id == one.id }); at >= 0 {
			one.Partitions = before[at].Partitions
		}
		slices.Sort(one.Partitions)
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b described) int { return strings.Compare(a.URL+a.id, b.URL+b.id) })
	return all
}

func (m *Member) describe(ctx context.Context) (kadm.DescribedGroup, error) {
	groups, err := m.admin.DescribeGroups(ctx, m.opts.Group)
	if err == nil {
		err = groups[m.opts.Group].Err
	}
	if err == nil && len(groups[m.opts.Group].Members) == 0 {
		err = errors.New("the group has no members yet")
	}
	if err != nil {
		return kadm.DescribedGroup{}, fmt.Errorf("looking up the workers of %q: %w: try again soon", m.opts.Group, cmp.Or(m.missingRight(), m.opts.explain(err)))
	}
	return groups[m.opts.Group], nil
}

// Workers returns the members of the group by URL. While the coordinator does not
// answer, they are those of its last answer.
func (m *Member) Workers(ctx context.Context) ([]Worker, error) {
	known, err := m.directory.refreshed(ctx)
	if err != nil {
		return nil, err
	}
	self, _ := m.client.GroupMetadata()
	all := make([]Worker, len(known))
	for i, d := range known {
		all[i] = d.Worker
		all[i].Self = d.id == self
	}
	return all, nil
}

// OwnerOf returns the worker that owns a partition. ok is false while none is known to.
func (m *Member) OwnerOf(ctx context.Context, partition int32) (owner Worker, ok bool, err error) {
	if m.Owns(partition) {
		return Worker{URL: strings.TrimSuffix(m.opts.Advertise, "/"), Self: true, Partitions: m.Standing().Partitions}, true, nil
	}
	all, err := m.Workers(ctx)
	if err != nil {
		return Worker{}, false, err
	}
	for _, w := range all {
		if !w.Self && slices.Contains(w.Partitions, partition) {
			return w, true, nil
		}
	}
	return Worker{}, false, nil
}
