package beat

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGroupCallsEachMemberAtItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		slow, quick := 0, 0
		a := g.Join(time.Second, func() bool { slow++; return false })
		time.Sleep(300 * time.Millisecond)
		b := g.Join(100*time.Millisecond, func() bool { quick++; return false })
		time.Sleep(10*time.Second - 350*time.Millisecond) // until 9.95 s
		synctest.Wait()
		require.Equal(t, 9, slow)
		require.Equal(t, 96, quick)

		b.Leave()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 19, slow)
		require.Equal(t, 96, quick)
		a.Leave()
		time.Sleep(time.Hour)
		require.Equal(t, 19, slow)

		c := g.Join(time.Minute, func() bool { slow = 0; return false })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Zero(t, slow, "a group without members can have some again")
		c.Leave()
	})
}

func TestGroupCallsTogetherWhatJoinedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		times := map[time.Time]int{}
		for range 100 {
			defer g.Join(time.Second, func() bool { times[time.Now()]++; return false }).Leave()
			time.Sleep(7 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Len(t, times, 10)
		for _, n := range times {
			require.Equal(t, 100, n)
		}
	})
}

func TestLeaveWaitsForACallInProgress(t *testing.T) {
	g := New()
	begun, finish, finished := make(chan struct{}, 1), make(chan struct{}), false
	m := g.Join(time.Millisecond, func() bool {
		select {
		case begun <- struct{}{}:
			<-finish
			finished = true
		default: // a second call, before it leaves
		}
		return false
	})
	<-begun
	begun <- struct{}{}
	time.AfterFunc(10*time.Millisecond, func() { close(finish) })
	m.Leave()
	require.True(t, finished)
}

func TestGroupSurvivesMembersThatComeAndGo(t *testing.T) {
	g := New()
	var comers sync.WaitGroup
	for range 8 {
		comers.Go(func() {
			for range 200 {
				called := make(chan struct{}, 1)
				m := g.Join(time.Millisecond, func() bool {
					select {
					case called <- struct{}{}:
					default:
					}
					return true
				})
				<-called
				m.Resume()
				<-called
				m.Leave()
			}
		})
	}
	comers.Wait()
	require.Empty(t, g.members)
	require.Nil(t, g.timer)
}

func TestMemberThatRestsIsNotCalledUntilResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		var calls []time.Duration
		began := time.Now()
		m := g.Join(time.Second, func() bool {
			calls = append(calls, time.Since(began))
			return len(calls) >= 3
		})
		m.Resume() // it does not rest
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, calls)
		require.Nil(t, g.timer, "a group whose members rest wakes nobody")

		time.Sleep(300 * time.Millisecond)
		m.Resume()
		m.Resume()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, calls, 4)
		require.Equal(t, time.Hour+time.Second, calls[3])

		m.Leave()
		m.Resume()
		time.Sleep(time.Hour)
		require.Len(t, calls, 4, "it has left")
		require.Empty(t, g.members)
	})
}

func TestOthersAreCalledWhileAMemberRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		calls, idle := 0, 0
		defer g.Join(time.Second, func() bool { calls++; return false }).Leave()
		sleeper := g.Join(time.Second, func() bool { idle++; return true })
		time.Sleep(10500 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 10, calls)
		require.Equal(t, 1, idle)
		sleeper.Leave()
	})
}

// A change that comes while f decides to rest must not be missed.
func TestResumeDuringACallIsNotLost(t *testing.T) {
	g := New()
	calls := make(chan int, 1)
	looked, changed := make(chan struct{}), make(chan struct{})
	n := 0
	m := g.Join(time.Millisecond, func() bool {
		if n++; n == 1 {
			close(looked) // it has found nothing to do
			<-changed
		} else if n == 2 {
			calls <- n
		}
		return true
	})
	defer m.Leave()
	<-looked
	m.Resume()
	close(changed)
	require.Equal(t, 2, <-calls)
}
