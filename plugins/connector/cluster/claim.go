package cluster

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// balancer is the cooperative-sticky balancer. A worker that joins again after it lost the
// coordinator still claims the partitions whose connectors it runs, so that they stay.
// franz-go would claim nothing, and the leader would deal all partitions out anew.
type balancer struct {
	kgo.GroupBalancer
	member *Member
}

func (m *Member) balancer() kgo.GroupBalancer {
	return balancer{kgo.CooperativeStickyBalancer(), m}
}

// JoinGroupMetadata implements kgo.GroupBalancer.
func (b balancer) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	if kept, since := b.member.claim(); len(kept) > 0 {
		current, generation = map[string][]int32{b.member.opts.Topic: kept}, since
	}
	return b.GroupBalancer.JoinGroupMetadata(topics, current, generation)
}

// claim returns the partitions that this worker owned when it lost the coordinator, and
// the generation of the group at that time. Where the coordinator has forgotten this worker,
// so that it has another member id now, the generation is the lowest: whoever owns one of
// the partitions now has the better claim, also if the group has begun to count anew.
func (m *Member) claim() (kept []int32, generation int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.share.kept) == 0 {
		return nil, -1
	}
	generation = -1
	if id, _ := m.client.GroupMetadata(); id == m.share.keptAs {
		generation = m.share.keptSince
	}
	return slices.Sorted(maps.Keys(m.share.kept)), generation
}
