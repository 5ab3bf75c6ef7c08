package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// newMembers starts three workers with a member of c each.
func newMembers(t *testing.T) (*shares, []*rig) {
	t.Helper()
	owners, workers := newWorkers(t, "w1", "w2", "w3")
	owners.deal("c", "w1", "w2", "w3")
	for _, w := range workers {
		w.quiet, w.redelivery, w.rest = time.Second, time.Second, time.Second
	}
	return owners, workers
}

// of returns the definition of c with a number of members.
func (r *rig) of(members int, topic string) connector.Connector {
	return r.conn("c", "in/#", topic, fmt.Sprintf(`,"parallelism":%d`, members))
}

// runsMembers waits until each worker runs some members of c, all of which are connected.
func runsMembers(t *testing.T, workers []*rig, want ...[]int) {
	t.Helper()
	n := 0
	for _, some := range want {
		n += len(some)
	}
	var is [][]int
	var last connector.Status
	require.Eventually(t, func() bool {
		is = nil
		for _, w := range workers {
			var some []int
			for _, one := range w.Mine() {
				if last = one; one.State != connector.Running {
					return false
				}
				for _, m := range one.Members {
					some = append(some, m.Member)
				}
			}
			is = append(is, some)
		}
		return slices.EqualFunc(want, is, slices.Equal[[]int]) && workers[0].broker.Connected() == int64(n)
	}, patience, 10*time.Millisecond, "%v %+v", &is, &last)
}

func runOf(w *rig, member int) *run {
	e := w.find("c")
	w.mu.Lock()
	defer w.mu.Unlock()
	return e.all()[member].run
}

func TestMembersRunOnTheWorkersThatOwnThem(t *testing.T) {
	owners, workers := newMembers(t)
	workers[2].create(workers[2].of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	const n = 300
	workers[0].publish("in/a", numbered(0, n)...)
	assert.ElementsMatch(t, numbered(0, n), payloadsOf(t, workers[0].records("out", n)), "each once")
	var sum connector.Sample
	require.Eventually(t, func() bool {
		sum = connector.Sample{}
		for _, w := range workers {
			one, ok := w.MySample("c")
			require.True(t, ok)
			assert.NotZero(t, one.Sent, "the broker deals messages out to all members")
			sum.Add(one)
		}
		return sum.Sent == n && sum.InFlight == 0
	}, patience, 10*time.Millisecond, "%+v", &sum)
	assert.Zero(t, owners.called(), "to create one disturbs nobody")

	// Each of them drains and goes on.
	require.NoError(t, workers[0].Pause(t.Context(), "c"))
	for i, w := range workers {
		assert.Nil(t, runOf(w, i), "all have drained when it returns")
	}
	workers[0].connected(0)
	require.NoError(t, workers[0].Resume(t.Context(), "c"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	before := runOf(workers[1], 1)
	note, err := workers[0].Restart(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	assert.NotSame(t, before, runOf(workers[1], 1))

	note, err = workers[0].Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	for _, id := range []string{memberID, memberID + "_member_1", memberID + "_member_2"} {
		assert.False(t, workers[0].sessionOn(workers[0].broker, id), id)
	}
	for _, w := range workers {
		require.NoError(t, w.Refresh(t.Context()))
		assert.Empty(t, w.List())
		assert.Empty(t, w.joined())
	}
}

// An operation on a connector with one member asks no other worker.
func TestAConnectorWithOneMemberCallsNobody(t *testing.T) {
	owners, workers := newWorkers(t, "w1", "w2")
	owners.give("c", "w1")
	w1 := workers[0]
	w1.create(w1.of(1, "out"))
	w1.ready("c")
	_, err := workers[1].Update(t.Context(), w1.of(1, "second"), connector.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, w1.Refresh(t.Context()))
	require.NoError(t, w1.Pause(t.Context(), "c"))
	require.NoError(t, w1.Resume(t.Context(), "c"))
	_, err = w1.Restart(t.Context(), "c")
	require.NoError(t, err)
	_, err = w1.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Zero(t, owners.called())
}

func TestTheNumberOfMembersChangesOverWorkersWithoutLoss(t *testing.T) {
	_, workers := newMembers(t)
	w1, w2 := workers[0], workers[1]
	sent := 0
	send := func() {
		w1.publish("in/a", numbered(sent, sent+50)...)
		sent += 50
	}
	w2.create(w2.of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	send()
	// The worker that writes is not the owner, and messages wait in all sessions.
	for _, members := range []int{1, 3, 2} {
		require.NoError(t, w1.Pause(t.Context(), "c"))
		send()
		require.NoError(t, w2.Refresh(t.Context()))
		_, err := w2.Update(t.Context(), w2.of(members, "out"), connector.UpdateOptions{})
		require.NoError(t, err)
		send()
		require.NoError(t, w1.Refresh(t.Context()))
		require.NoError(t, w1.Resume(t.Context(), "c"))
		want, ids := [][]int{nil, nil, nil}, []string{memberID}
		if members > 1 {
			want[0] = []int{0}
		}
		for i := 1; i < members; i++ {
			want[i] = []int{i}
			ids = append(ids, fmt.Sprintf("%s_member_%d", memberID, i))
		}
		require.Eventually(t, func() bool { return w1.broker.Connected() == int64(members) }, patience, 10*time.Millisecond)
		if members > 1 {
			runsMembers(t, workers, want...)
		}
		w1.ready("c")
		w1.untilJoined(ids...)
		for i := members; i < 3; i++ {
			id := fmt.Sprintf("%s_member_%d", memberID, i)
			require.Eventually(t, func() bool { return !w1.sessionOn(w1.broker, id) }, patience, 50*time.Millisecond, id)
		}
		send()
	}
	w1.arrived("out", numbered(0, sent))
}

// All sessions are read by the first member, also where it moves meanwhile, and the others
// wait for that.
func TestAHandOverOfMembersGoesOnWhereTheFirstOneMoves(t *testing.T) {
	owners, workers := newMembers(t)
	w1, w2 := workers[0], workers[1]
	w1.create(w1.of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	require.NoError(t, w1.Pause(t.Context(), "c"))
	w1.publish("in/a", numbered(0, 60)...)
	other := w2.of(3, "out")
	other.TopicID = "+/a"
	require.NoError(t, w2.Refresh(t.Context()))
	_, err := w2.Update(t.Context(), other, connector.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, w1.Refresh(t.Context()))
	require.NoError(t, w1.Resume(t.Context(), "c"))
	w1.until("c", func(s connector.Status) bool {
		return strings.HasPrefix(s.Reason, "not updated since ") && strings.Contains(s.Reason, memberID+"_member_1")
	})
	w2.seen("c", func(s connector.Status) bool {
		return strings.Contains(s.Reason, "the first member delivers messages that wait in sessions before the update takes effect")
	})
	owners.give(memberKey("c", 0), "w2")
	w1.Release(func(_ string, member int) bool { return member == 0 })
	w2.Take()
	runsMembers(t, workers, nil, []int{0, 1}, []int{2})
	w1.publish("other/a", numbered(60, 90)...)
	w1.arrived("out", numbered(0, 90))
	for _, one := range w2.sessions.Records() {
		assert.Equal(t, []string{"$share/robustmq_connect_default_c/+/a"}, one.Filters, one.ClientID)
	}
}

func TestAWorkerThatLosesAMemberDrainsThatAlone(t *testing.T) {
	owners, workers := newMembers(t)
	owners.deal("c", "w1", "w2", "w2")
	workers[0].create(workers[0].of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1, 2}, nil)
	first, last := runOf(workers[0], 0), runOf(workers[1], 2)
	gone := func(name string, member int) bool { return name == "c" && member == 1 }

	owners.give(memberKey("c", 1), "nobody")
	workers[1].Release(gone)
	assert.Nil(t, runOf(workers[1], 1), "it has drained")
	workers[0].connected(2)
	workers[0].publish("in/a", numbered(0, 30)...)
	owners.give(memberKey("c", 1), "w3")
	workers[2].Take()
	runsMembers(t, workers, []int{0}, []int{2}, []int{1})
	workers[0].arrived("out", numbered(0, 30))

	// One that was forgotten does not wait.
	owners.give(memberKey("c", 1), "w1")
	workers[2].Abandon(gone)
	workers[0].Take()
	runsMembers(t, workers, []int{0, 1}, []int{2}, nil)

	// The owner loses the first member, and keeps the other one.
	owners.give(memberKey("c", 0), "w3")
	workers[0].Release(func(name string, member int) bool { return member == 0 })
	workers[2].Take()
	runsMembers(t, workers, []int{1}, []int{2}, []int{0})
	assert.NotSame(t, first, runOf(workers[2], 0))
	assert.Same(t, last, runOf(workers[1], 2))
	workers[0].publish("in/a", numbered(30, 60)...)
	workers[0].arrived("out", numbered(0, 60))
}

func TestNothingIsChangedWhileAWorkerOfAMemberDoesNotAnswer(t *testing.T) {
	owners, workers := newMembers(t)
	w1 := workers[0]
	w1.create(w1.of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	revision := w1.find("c").stored(w1.Supervisor).Revision
	owners.silence("w3", true)
	const why = "nothing was changed: the worker w3, which runs member 3 of 3, does not answer: try again soon"
	_, err := w1.Update(t.Context(), w1.of(1, "out"), connector.UpdateOptions{})
	require.ErrorContains(t, err, why)
	_, err = w1.Delete(t.Context(), "c")
	require.ErrorContains(t, err, why)
	require.ErrorContains(t, w1.Pause(t.Context(), "c"), why)
	_, err = w1.Restart(t.Context(), "c")
	require.ErrorContains(t, err, why)
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	d := w1.find("c").stored(w1.Supervisor)
	assert.Equal(t, revision, d.Revision)
	assert.False(t, paused(d))

	// What changes nothing about the members asks nobody.
	calls := owners.called()
	labelled := w1.of(3, "out")
	labelled.Labels = map[string]string{"team": "a"}
	_, err = w1.Update(t.Context(), labelled, connector.UpdateOptions{})
	require.NoError(t, err)
	invalid := w1.of(3, "out")
	invalid.TopicID = "a/#/b"
	_, err = w1.Update(t.Context(), invalid, connector.UpdateOptions{})
	require.ErrorAs(t, err, new(*connector.InvalidError))
	assert.Equal(t, calls, owners.called())
	owners.silence("w3", false)
	_, err = w1.Delete(t.Context(), "c")
	require.NoError(t, err)
}

// The connector moves while it is drained, so another worker may run a member again.
func TestNothingIsChangedWhenAMemberMovesMeanwhile(t *testing.T) {
	owners, workers := newMembers(t)
	w1 := workers[0]
	w1.create(w1.of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	others, err := w1.holdElsewhere(t.Context(), "c", func(*entry) bool { return true })
	require.NoError(t, err)
	require.NoError(t, others.check(w1.find("c")))
	owners.give("another", "w2")
	require.ErrorContains(t, others.check(w1.find("c")), "nothing was changed: ")
	others.end()
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
}

func TestAHeldMemberGoesOn(t *testing.T) {
	_, workers := newMembers(t)
	w1, w2 := workers[0], workers[1]
	w1.create(w1.of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	revision := w1.find("c").stored(w1.Supervisor).Revision
	hold := func(operation string) {
		t.Helper()
		require.NoError(t, w2.Hold(t.Context(), "c", revision, operation))
		assert.Nil(t, runOf(w2, 1))
	}
	require.ErrorIs(t, w2.Hold(t.Context(), "c", revision+1, "a"), errChanged)
	require.ErrorIs(t, w2.Hold(t.Context(), "nobody", revision, "a"), errChanged)
	require.NoError(t, w2.LetGo(t.Context(), "nobody", "a", true))

	// As long as an operation needs it.
	hold("a")
	hold("b")
	w2.until("c", func(s connector.Status) bool { return strings.Contains(s.Reason, "it is drained for a change") })
	require.NoError(t, w2.LetGo(t.Context(), "c", "a", false))
	w2.Take()
	require.NoError(t, w2.Refresh(t.Context()))
	assert.Nil(t, runOf(w2, 1))
	require.NoError(t, w2.LetGo(t.Context(), "c", "b", false))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})

	// Until the definition is another one: its owner has done what it wanted.
	hold("a")
	_, err := workers[2].Update(t.Context(), w1.of(3, "second"), connector.UpdateOptions{})
	require.NoError(t, err)
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	revision = w1.find("c").stored(w1.Supervisor).Revision

	// Until nothing was heard of the operation: its worker has died.
	w2.holdFor = 10 * time.Millisecond
	hold("a")
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
}

// A worker that cannot read the store does not know what has become of the operation.
func TestAHeldMemberWaitsForTheStore(t *testing.T) {
	_, workers := newMembers(t)
	w1, w2 := workers[0], workers[1]
	w1.create(w1.of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	shared, ok := w2.store.(*sharedStore)
	require.True(t, ok)
	w2.holdFor = time.Hour
	require.NoError(t, w2.Hold(t.Context(), "c", w1.find("c").stored(w1.Supervisor).Revision, "a"))
	shared.away.Store(true)
	w2.backgroundIfOpen(func() { w2.outlastHold(w2.find("c"), "a") })
	require.Eventually(t, func() bool { return shared.asked.Load() > 0 }, patience, time.Millisecond)
	assert.Nil(t, runOf(w2, 1))
	shared.away.Store(false)
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
}

func TestAResumeStartsMembersAgainThatHaveFailedElsewhere(t *testing.T) {
	_, workers := newMembers(t)
	w1, w2 := workers[0], workers[1]
	w1.create(w1.of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	broken := runOf(w2, 1)
	broken.fail(errors.New("broken"))
	w2.until("c", func(s connector.Status) bool {
		return s.State == connector.Failed && strings.HasPrefix(s.Reason, "member 2 of 3: failed since")
	})
	kept := runOf(workers[2], 2)
	require.NoError(t, w1.Resume(t.Context(), "c"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	assert.NotSame(t, broken, runOf(w2, 1))
	assert.Same(t, kept, runOf(workers[2], 2), "it had not failed")
}

// Each of two operations is done as a whole, or refused and nothing is changed by it.
func TestOperationsOnOneConnectorAtTwoWorkersDoNotWaitForEachOther(t *testing.T) {
	_, workers := newMembers(t)
	w1, w2 := workers[0], workers[1]
	w1.create(w1.of(3, "out"))
	runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	for round := range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		updated := make(chan error, 1)
		go func() {
			_, err := w2.Update(ctx, w2.of(3, fmt.Sprintf("out%d", round)), connector.UpdateOptions{})
			updated <- err
		}()
		_, restarted := w1.Restart(ctx, "c")
		for _, err := range []error{restarted, <-updated} {
			if err != nil {
				require.ErrorContains(t, err, "try again soon")
			}
		}
		require.NoError(t, ctx.Err())
		cancel()
		runsMembers(t, workers, []int{0}, []int{1}, []int{2})
	}
	_, err := w1.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, w1.joined())
}
