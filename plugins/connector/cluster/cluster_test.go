package cluster

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/robustmq/robustmq-connect/tests/link"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// franz-go leaves it behind when a consumer is closed just as a fetch arrives.
		goleak.IgnoreTopFunction("github.com/twmb/franz-go/pkg/kgo.(*fetchManager).manageFetchConcurrency"))
}

const (
	patience = 60 * time.Second
	topic    = "assignment"
	// session is the least that Kafka takes.
	session = 6 * time.Second
)

func startKafka(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(Partitions, topic), kfake.SeedTopics(3, "three"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// worker is a member that records what it is told.
type worker struct {
	*Member
	link *link.Link

	mu       sync.Mutex
	runs     map[int32]bool // what it would run
	moved    int            // partitions that it began to run or has released
	given    int            // partitions that it was told to run, also again
	lost     int
	draining chan struct{} // Released waits for it
	drains   int
}

func join(t *testing.T, kafka, name string) *worker {
	t.Helper()
	return joinFor(t, kafka, name, session)
}

// joinFor joins with a session timeout.
func joinFor(t *testing.T, kafka, name string, session time.Duration) *worker {
	t.Helper()
	w := &worker{link: link.New(), runs: map[int32]bool{}}
	var err error
	w.Member, err = Join(t.Context(), Options{
		Client: []kgo.Opt{kgo.SeedBrokers(kafka), kgo.Dialer(w.link.Dial), kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond })},
		Group:  "workers", Topic: topic, Advertise: "http://" + name + ":58080", SessionTimeout: session,
		Taken: func(all []int32) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, p := range all {
				if !w.runs[p] {
					w.moved++
				}
				w.runs[p] = true
			}
			w.given += len(all)
		},
		Released: func(all []int32) {
			w.mu.Lock()
			draining := w.draining
			w.drains++
			w.mu.Unlock()
			if draining != nil {
				<-draining
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, p := range all {
				delete(w.runs, p)
			}
			w.moved += len(all)
		},
		Lost: func(all []int32) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, p := range all {
				delete(w.runs, p)
			}
			w.lost += len(all)
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		w.link.Restore()
		_ = w.Leave()
	})
	return w
}

func (w *worker) running() []int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []int32
	for p := range w.runs {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// lastPartition is one of those that are drained first.
func (w *worker) lastPartition() int32 {
	w.Member.mu.Lock()
	defer w.Member.mu.Unlock()
	for p := range w.share.leaving {
		return p
	}
	return -1
}

func (w *worker) counts() (moved, lost, drains int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moved, w.lost, w.drains
}

// shared waits until the workers run every partition between them, each an even share.
func shared(t *testing.T, all ...*worker) {
	t.Helper()
	var shares [][]int32
	require.Eventually(t, func() bool {
		var union []int32
		shares = nil
		for _, w := range all {
			one := w.running()
			shares = append(shares, one)
			union = append(union, one...)
			if len(one) < Partitions/len(all) || !slices.Equal(one, w.Standing().Partitions) {
				return false
			}
		}
		slices.Sort(union)
		return len(union) == Partitions && len(slices.Compact(union)) == Partitions
	}, patience, 50*time.Millisecond, "%v", &shares)
}

// The coordinator cannot be asked for minimal moves, so they are counted.
func TestANewWorkerTakesItsShareAndMovesNoMore(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a := join(t, kafka, "a")
	shared(t, a)
	b := join(t, kafka, "b")
	shared(t, a, b)
	before, _, _ := b.counts()
	assert.Equal(t, Partitions/2, before)
	a1, _, _ := a.counts()
	c := join(t, kafka, "c")
	shared(t, a, b, c)
	a2, _, _ := a.counts()
	b2, _, _ := b.counts()
	c2, _, _ := c.counts()
	assert.Equal(t, c2, (a2-a1)+(b2-before), "what the new worker has came from the others, and nothing else moved")
	for _, w := range []*worker{a, b, c} {
		_, lost, _ := w.counts()
		assert.Zero(t, lost)
		assert.False(t, w.Standing().Unconfirmed)
	}
	assert.Positive(t, a.Standing().Rebalances)
	assert.WithinDuration(t, time.Now(), a.Standing().LastRebalance, patience)
}

func TestAPartitionGetsItsNextOwnerAfterItIsDrained(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a := join(t, kafka, "a")
	shared(t, a)
	draining := make(chan struct{})
	a.mu.Lock()
	a.draining = draining
	a.mu.Unlock()
	b := join(t, kafka, "b")
	require.Eventually(t, func() bool { _, _, drains := a.counts(); return drains == 1 }, patience, 10*time.Millisecond)
	// A drain may take longer than the session timeout: heartbeats continue meanwhile.
	began := time.Now()
	for time.Since(began) < session+2*time.Second {
		require.NoError(t, a.Confirm(t.Context(), 0), "what drains may reconnect")
		require.Empty(t, b.running())
		require.True(t, a.Owns(a.lastPartition()))
		require.False(t, a.Runs(a.lastPartition()), "nothing starts in it any more")
		time.Sleep(200 * time.Millisecond)
	}
	close(draining)
	shared(t, a, b)
	_, lost, _ := a.counts()
	assert.Zero(t, lost, "it was not evicted")
	assert.Greater(t, a.Standing().Took, session)
}

func TestWhoLeavesGivesItsShareToTheOthers(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a, b := join(t, kafka, "a"), join(t, kafka, "b")
	shared(t, a, b)
	require.NoError(t, b.Leave())
	require.NoError(t, b.Leave(), "twice is once")
	shared(t, a)
	assert.Empty(t, b.running())
	require.ErrorIs(t, b.Confirm(t.Context(), 0), ErrNotOwner)
}

// A worker that was cut off, or stopped and woken, may still run what another one has.
func TestAWorkerThatTheCoordinatorHasForgottenStops(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a, b := join(t, kafka, "a"), join(t, kafka, "b")
	shared(t, a, b)
	ran := b.running()
	b.link.Cut()
	require.Error(t, b.Confirm(t.Context(), ran[0]), "it must not connect while nobody confirms that it may")
	require.Eventually(t, func() bool { return len(a.running()) == Partitions }, patience, 50*time.Millisecond)
	assert.Equal(t, ran, b.running(), "its connections go on: the broker decides")
	err := b.Confirm(t.Context(), ran[0])
	require.Error(t, err)

	b.link.Restore()
	shared(t, a, b)
	for _, p := range b.running() {
		require.NoError(t, b.Confirm(t.Context(), p))
	}
	for _, p := range a.running() {
		require.ErrorIs(t, b.Confirm(t.Context(), p), ErrNotOwner)
	}
}

func TestAWorkerAloneGoesOnWhenTheCoordinatorComesBack(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a := join(t, kafka, "a")
	shared(t, a)
	moved, _, _ := a.counts()
	a.link.Cut()
	require.Eventually(t, func() bool { return a.Standing().Unconfirmed }, patience, 50*time.Millisecond)
	assert.Len(t, a.running(), Partitions)
	require.ErrorContains(t, a.Confirm(t.Context(), 0), "has not confirmed")
	a.link.Restore()
	require.Eventually(t, func() bool { return len(a.Standing().Partitions) == Partitions }, patience, 50*time.Millisecond)
	require.NoError(t, a.Confirm(t.Context(), 0))
	again, lost, _ := a.counts()
	assert.Equal(t, moved, again, "nothing was stopped and started")
	assert.Zero(t, lost)
	// A connector that was created meanwhile never started.
	require.Eventually(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.given == 2*Partitions
	}, patience, 50*time.Millisecond)
}

func TestWorkersFindEachOtherThroughTheGroup(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	a, b := join(t, kafka, "a"), join(t, kafka, "b")
	shared(t, a, b)
	require.Eventually(t, func() bool {
		all, err := a.Workers(t.Context())
		return err == nil && len(all) == 2 && len(all[0].Partitions) == Partitions/2
	}, patience, 50*time.Millisecond)
	all, err := a.Workers(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []Worker{
		{URL: "http://a:58080", Self: true, Partitions: a.running()},
		{URL: "http://b:58080", Partitions: b.running()},
	}, all)
	for p := range int32(Partitions) {
		fromA, ok, err := a.OwnerOf(t.Context(), p)
		require.NoError(t, err)
		require.True(t, ok)
		fromB, ok, err := b.OwnerOf(t.Context(), p)
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, fromA.URL, fromB.URL)
		assert.NotEqual(t, fromA.Self, fromB.Self)
	}

	// Without Kafka, what was known last is used.
	a.link.Cut()
	a.directory.expire()
	last, err := a.Workers(t.Context())
	require.NoError(t, err)
	assert.Equal(t, all, last)
}

func TestWhatCannotBeAMemberSaysWhy(t *testing.T) {
	t.Parallel()
	kafka := startKafka(t)
	for _, tc := range []struct{ topic, url, says string }{
		{"three", "http://a:1", `topic "three" has 3 partitions and must have 64`},
		{"missing", "http://a:1", `reading topic "missing": UNKNOWN_TOPIC_OR_PARTITION`},
		{topic, "", `advertise: "" is not the URL of an API: give e.g. http://worker1.example.com:58080`},
		{topic, "a:1", `advertise: "a:1" is not`},
		{topic, "ftp://a:1", `is not the URL`},
		{topic, "http://user:secret@a:1", `is not the URL`},
		{topic, "http://a:1/path", `is not the URL`},
		{topic, "http://a:1/?q", `is not the URL`},
	} {
		_, err := Join(t.Context(), Options{Client: []kgo.Opt{kgo.SeedBrokers(kafka)}, Group: "g", Topic: tc.topic, Advertise: tc.url})
		require.ErrorContains(t, err, tc.says)
	}
}

// Workers of two versions must agree, so these numbers never change.
func TestThePartitionOfAConnectorIsForLife(t *testing.T) {
	got := map[string]int32{}
	for _, name := range []string{"a", "sensors", "ünïcode", ""} {
		for i := range 2 {
			got[fmt.Sprintf("%s/%d", name, i)] = PartitionOf("default", name, i)
		}
	}
	assert.Equal(t, map[string]int32{
		"a/0": 6, "a/1": 45, "sensors/0": 42, "sensors/1": 59, "ünïcode/0": 37, "ünïcode/1": 54, "/0": 11, "/1": 24,
	}, got)
	seen := map[int32]int{}
	for i := range 6400 {
		seen[PartitionOf("default", fmt.Sprintf("connector-%d", i), 0)]++
	}
	assert.Len(t, seen, Partitions)
	for p, n := range seen {
		assert.InDelta(t, 100, n, 50, "partition %d", p)
	}
}

func TestTheMembersOfAConnectorAreDealtOut(t *testing.T) {
	all := map[int32]bool{}
	for member := range Partitions {
		all[PartitionOf("default", "a", member)] = true
	}
	assert.Len(t, all, Partitions, "each has a partition of its own")
	for name, workerOf := range map[string]func(p int32) int32{
		"in ranges":      func(p int32) int32 { return p / (Partitions / 2) },
		"in turn":        func(p int32) int32 { return p % 2 },
		"there and back": func(p int32) int32 { return (p + 1) / 2 % 2 },
	} {
		for members, least := range map[int]int{2: 400, 3: 700, 4: 850, 8: 950} {
			dealtOut := 0
			for i := range 1000 {
				workers := map[int32]bool{}
				for member := range members {
					workers[workerOf(PartitionOf("default", fmt.Sprintf("connector-%d", i), member))] = true
				}
				if len(workers) == 2 {
					dealtOut++
				}
			}
			assert.Greater(t, dealtOut, least, "%s, %d members", name, members)
		}
	}
}

func TestARebalanceTakesTimeFromAWorkerThatGivesSomethingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Member{share: newShare(), log: slog.New(slog.DiscardHandler), opts: Options{
			Taken: func([]int32) {}, Released: func([]int32) { time.Sleep(1500 * time.Millisecond) },
		}}
		took := func(rebalances int, took time.Duration) {
			t.Helper()
			now := m.Standing()
			assert.Equal(t, rebalances, now.Rebalances)
			assert.Equal(t, took, now.Took)
		}
		m.assigned([]int32{1, 2, 3})
		took(1, 0)
		m.revoked([]int32{1})
		m.assigned(nil)
		took(2, 1500*time.Millisecond)
		m.assigned(nil) // it changed nothing here
		took(2, 1500*time.Millisecond)
		time.Sleep(time.Second)
		m.assigned([]int32{4})
		took(3, 0)
	})
}
