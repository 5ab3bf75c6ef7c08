package kafka

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLogThrottleLogsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		texts := make(chan string, 10)
		d := &logThrottle{every: time.Second, tell: func(text string) { texts <- text }}
		d.add("a")
		require.Equal(t, "a", <-texts, "the first is logged at once")
		d.add("b")
		d.add("c")
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, texts)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, "c (2 records since this was last logged)", <-texts)
		d.add("d")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, "d", <-texts)
		time.Sleep(time.Hour)
		d.add("e")
		require.Equal(t, "e", <-texts, "at once after a rest")
		d.add("f")
		d.close()
		require.Equal(t, "f", <-texts, "nothing is held back")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, texts)
	})
}
