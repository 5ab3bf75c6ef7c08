package cluster

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Partitions is the number of partitions of the assignment topic. It limits the number
// of workers, and never changes.
const Partitions = 64

// PartitionOf returns the partition of a connector's member: 0 for a connector that has
// only one. It is the same in every version of this program.
//
// The members have partitions of their own, with a distance that differs between
// connectors. The coordinator deals partitions out in ranges, in turn or there and back,
// and with one distance for all, no connector would be dealt out by one of these.
func PartitionOf(tenant, name string, member int) int32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(tenant + "/" + name + "\x000")) // it never fails
	sum := h.Sum64()
	distance := 13 + sum/Partitions%20*2                       // odd, from 13 to 51: neighbours are in one range
	return int32((sum + uint64(member)*distance) % Partitions) //nolint:gosec // it is below 64
}

// share are the partitions of this worker. The mutex of the member guards it.
type share struct {
	owned map[int32]bool
	// leaving are those of them that are drained for other workers.
	leaving map[int32]bool
	// kept are partitions that this worker owned when it lost the coordinator, and whose
	// connectors still run. The worker claims them when it joins again, and the next
	// assignment says whose they are.
	kept      map[int32]bool
	keptAs    string // the member id of this worker then
	keptSince int32  // the generation of the group then
	away      bool   // the coordinator did not answer when it was asked last, or refused this worker
	// refused is the right that is missing, nil if none is.
	refused error

	rebalances int
	began      time.Time // of the rebalance that is under way, zero without one
	last       time.Time // the end of the last one
	took       time.Duration
}

func newShare() share {
	return share{owned: map[int32]bool{}, leaving: map[int32]bool{}, kept: map[int32]bool{}}
}

// assigned is called at the end of each rebalance, with the partitions that were added.
func (m *Member) assigned(added []int32) {
	m.mu.Lock()
	s := &m.share
	for _, p := range added {
		s.owned[p] = true
	}
	var taken, lost []int32
	for _, p := range added {
		if !s.kept[p] {
			taken = append(taken, p)
		}
	}
	for p := range s.kept {
		if !s.owned[p] {
			lost = append(lost, p)
		}
	}
	s.kept, s.away, s.refused = map[int32]bool{}, false, nil
	if len(added) > 0 || !s.began.IsZero() {
		s.rebalances++
		s.last, s.took = time.Now(), 0
		if !s.began.IsZero() {
			s.took = s.last.Sub(s.began)
		}
		s.began = time.Time{}
	}
	n := len(s.owned)
	m.mu.Unlock()

	m.directory.expire()
	slices.Sort(lost)
	if len(lost) > 0 {
		m.log.Warn("Partitions went to other workers while the coordinator was away: their connectors stop here", "partitions", lost)
		m.opts.Lost(lost)
		// Nobody gets a partition that this worker has claimed before it joins once more
		// without the claim.
		m.client.ForceRebalance()
	}
	if len(taken) > 0 {
		m.log.Info("This worker runs the connectors of more partitions", "added", len(taken), "partitions", n)
	}
	// Also those that were kept: connectors may have been created in them meanwhile, and
	// another worker may have written the store.
	if len(added) > 0 {
		m.opts.Taken(added)
	}
}

// revoked is called with partitions that go to other workers. The worker is a member
// until this returns.
func (m *Member) revoked(gone []int32) {
	if len(gone) == 0 {
		return
	}
	m.mu.Lock()
	if m.share.began.IsZero() {
		m.share.began = time.Now()
	}
	for _, p := range gone {
		m.share.leaving[p] = true
	}
	m.mu.Unlock()
	m.log.Info("Partitions go to other workers: their connectors are drained", "partitions", len(gone))
	m.opts.Released(gone)
	m.mu.Lock()
	for _, p := range gone {
		delete(m.share.owned, p)
		delete(m.share.leaving, p)
	}
	m.mu.Unlock()
	m.directory.expire()
}

// unconfirmed is called when the membership has ended, before its reason is known.
func (m *Member) unconfirmed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.share.began.IsZero() {
		m.share.began = time.Now()
	}
	// A partition that another worker has run meanwhile may come back to this one: its
	// connectors then simply connect again.
	if len(m.share.owned) > 0 {
		m.share.keptAs, m.share.keptSince = m.client.GroupMetadata()
	}
	maps.Copy(m.share.kept, m.share.owned)
	m.share.owned = map[int32]bool{}
}

// ended is called with the reason.
func (m *Member) ended(err error) {
	m.directory.expire()
	if !dismissed(err) {
		text, level := "The coordinator of the workers cannot be reached: connectors go on, and do not reconnect until it answers", slog.LevelWarn
		var refused error
		if errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.TopicAuthorizationFailed) {
			err = m.opts.explain(err)
			text, level, refused = "Kafka refuses this worker as a member: it gets no connectors, and those that run do not reconnect", slog.LevelError, err
		}
		m.mu.Lock()
		told := m.share.away && (m.share.refused == nil) == (refused == nil)
		m.share.away, m.share.refused = true, refused
		m.mu.Unlock()
		if told {
			level = slog.LevelDebug
		}
		m.log.Log(context.Background(), level, text, "error", err)
		return
	}
	m.mu.Lock()
	lost := slices.Sorted(maps.Keys(m.share.kept))
	m.share.kept = map[int32]bool{}
	m.mu.Unlock()
	m.log.Warn("The coordinator no longer has this worker: its connectors stop, because other workers may run them", "partitions", len(lost), "error", err)
	if len(lost) > 0 {
		m.opts.Lost(lost)
	}
}

// missingRight returns why Kafka refuses this worker, nil if it does not.
func (m *Member) missingRight() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.share.refused
}

// dismissed reports whether the coordinator has answered that this worker is no member.
// After any other error, it is unknown.
func dismissed(err error) bool {
	for _, is := range []error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.FencedInstanceID} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// Runs reports whether connectors of a partition may start here. They may not while the
// partition is drained for another worker.
func (m *Member) Runs(partition int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.share.owned[partition] && !m.share.leaving[partition]
}

// Owns reports whether this worker owned a partition when the coordinator last answered.
// Only Confirm knows whether it still does.
func (m *Member) Owns(partition int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.share.owned[partition]
}

// Standing describes the membership for people and metrics.
type Standing struct {
	Partitions    []int32 // that this worker owns
	Unconfirmed   bool    // the coordinator was lost, and has not answered since
	Rebalances    int     // that changed this worker's share, since the start
	LastRebalance time.Time
	// Took is the time from the revocation to the assignment that followed, draining
	// included. It is 0 if the last rebalance took nothing from this worker.
	Took time.Duration
}

// Standing returns the current membership.
func (m *Member) Standing() Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.share
	return Standing{
		Partitions: slices.Sorted(maps.Keys(s.owned)), Unconfirmed: s.away,
		Rebalances: s.rebalances, LastRebalance: s.last, Took: s.took,
	}
}
