package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// claimant is a member that joins.
type claimant struct {
	name       string
	owned      []int32
	generation int32
}

// dealt returns who gets what in one round, as the leader decides.
func dealt(t *testing.T, all ...claimant) map[string][]int32 {
	t.Helper()
	b := (&Member{opts: Options{Topic: topic}, share: newShare()}).balancer()
	var members []kmsg.JoinGroupResponseMember
	for _, c := range all {
		current := map[string][]int32{}
		if len(c.owned) > 0 {
			current[topic] = c.owned
		}
		members = append(members, kmsg.JoinGroupResponseMember{MemberID: c.name, ProtocolMetadata: b.JoinGroupMetadata([]string{topic}, current, c.generation)})
	}
	of, _, err := b.MemberBalancer(members)
	require.NoError(t, err)
	balances, ok := of.(kgo.GroupMemberBalancerOrError)
	require.True(t, ok)
	plan, err := balances.BalanceOrError(map[string]int32{topic: Partitions})
	require.NoError(t, err)
	shares := map[string][]int32{}
	for _, one := range plan.IntoSyncAssignment() {
		got, err := b.ParseSyncAssignment(one.MemberAssignment)
		require.NoError(t, err)
		slices.Sort(got[topic])
		shares[one.MemberID] = got[topic]
	}
	return shares
}

func everyThird(first int32) (all []int32) {
	for p := first; p < Partitions; p += 3 {
		all = append(all, p)
	}
	return all
}

// The leader deals by these claims, also one of an older version.
func TestWhatWorkersClaimWhenTheyJoinAgainStays(t *testing.T) {
	a, b, c := everyThird(0), everyThird(1), everyThird(2)
	for name, generations := range map[string][3]int32{
		"known": {7, 7, 7}, "all are forgotten": {-1, -1, -1}, "one is forgotten": {7, -1, 7}, "one has joined already": {8, 7, 7},
	} {
		got := dealt(t, claimant{"a", a, generations[0]}, claimant{"b", b, generations[1]}, claimant{"c", c, generations[2]})
		assert.Equal(t, map[string][]int32{"a": a, "b": b, "c": c}, got, name)
	}
}

// A worker that was away comes back, while another one runs all.
func TestWhoOwnsAPartitionHasABetterClaimThanWhoWasForgotten(t *testing.T) {
	var all []int32
	for p := range int32(Partitions) {
		all = append(all, p)
	}
	theirs := all[Partitions/2:]
	for _, generation := range []int32{1, 9} { // 1: the group has begun to count anew
		got := dealt(t, claimant{"a", all, generation}, claimant{"b", theirs, -1})
		assert.Empty(t, got["b"], "a has to drain first")
		assert.Len(t, got["a"], Partitions/2)
	}
}

// Without their claims, most partitions moved although no worker had gone.
func TestPartitionsStayWhenTheCoordinatorWasAwayForAllWorkers(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	var workers []*worker
	for _, name := range []string{"a", "b", "c"} {
		workers = append(workers, joinFor(t, kafka, name, time.Minute)) // none is forgotten
	}
	shared(t, workers...)
	var before [][]int32
	var moves []int
	for _, w := range workers {
		moved, _, _ := w.counts()
		before, moves = append(before, w.running()), append(moves, moved)
		w.link.Cut()
	}
	for _, w := range workers {
		require.Eventually(t, func() bool { return w.Standing().Unconfirmed }, patience, 50*time.Millisecond)
	}
	for _, w := range workers {
		w.link.Restore()
	}
	shared(t, workers...)
	for i, w := range workers {
		moved, lost, _ := w.counts()
		assert.Equal(t, before[i], w.running())
		assert.Equal(t, moves[i], moved, "nothing was stopped and started")
		assert.Zero(t, lost)
		require.NoError(t, w.Confirm(t.Context(), before[i][0]))
	}
}

// What a worker claims and does not get belongs to nobody until it joins without the claim.
func TestWhatAWorkerClaimsInVainGoesToAnother(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a := joinFor(t, kafka, "a", time.Minute)
	shared(t, a)
	a.link.Cut()
	require.Eventually(t, func() bool { return a.Standing().Unconfirmed }, patience, 50*time.Millisecond)
	b := joinFor(t, kafka, "b", time.Minute) // it waits for a, which is a member still
	a.link.Restore()
	shared(t, a, b)
}

func TestAWorkerThatHasAnotherMemberIDClaimsAtTheLowestGeneration(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a := join(t, kafka, "a")
	shared(t, a)
	id, generation := a.client.GroupMetadata()
	for _, tc := range []struct {
		as   string
		want int32
	}{{id, generation}, {"another", -1}} {
		a.Member.mu.Lock()
		a.share.kept, a.share.keptAs, a.share.keptSince = map[int32]bool{5: true, 3: true}, tc.as, generation
		a.Member.mu.Unlock()
		kept, since := a.claim()
		assert.Equal(t, []int32{3, 5}, kept)
		assert.Equal(t, tc.want, since)
		var said kmsg.ConsumerMemberMetadata
		require.NoError(t, said.ReadFrom(a.balancer().JoinGroupMetadata([]string{topic}, nil, 77)))
		assert.Equal(t, tc.want, said.Generation)
		require.Len(t, said.OwnedPartitions, 1)
		assert.Equal(t, []int32{3, 5}, said.OwnedPartitions[0].Partitions)
	}
	a.Member.mu.Lock()
	a.share.kept = map[int32]bool{}
	a.Member.mu.Unlock()
	assert.Equal(t, kgo.CooperativeStickyBalancer().JoinGroupMetadata([]string{topic}, nil, 77), a.balancer().JoinGroupMetadata([]string{topic}, nil, 77))
}
