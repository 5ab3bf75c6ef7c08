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
		a := g.Join(time.Second, func() { slow++ })
		time.Sleep(300 * time.Millisecond)
		b := g.Join(100*time.Millisecond, func() { quick++ })
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

		c := g.Join(time.Minute, func() { slow = 0 })
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
			defer g.Join(time.Second, func() { times[time.Now()]++ }).Leave()
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
	m := g.Join(time.Millisecond, func() {
		select {
		case begun <- struct{}{}:
			<-finish
			finished = true
		default: // a second call, before it leaves
		}
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
				m := g.Join(time.Millisecond, func() {
					select {
					case called <- struct{}{}:
					default:
					}
				})
				<-called
				m.Leave()
			}
		})
	}
	comers.Wait()
	require.Empty(t, g.members)
	require.Nil(t, g.timer)
}
