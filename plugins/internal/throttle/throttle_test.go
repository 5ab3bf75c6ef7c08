package throttle

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOneEventIsLoggedInAPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		texts := make(chan string, 10)
		d := New(time.Second, "records", func(text string) { texts <- text })
		d.Add("a")
		require.Equal(t, "a", <-texts, "the first is logged at once")
		d.Add("b")
		d.Add("c")
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, texts)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, "c (2 records since this was last logged)", <-texts)
		d.Add("d")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, "d", <-texts)
		time.Sleep(time.Hour)
		d.Add("e")
		require.Equal(t, "e", <-texts, "at once after a rest")
		d.Add("f")
		d.Close()
		require.Equal(t, "f", <-texts, "nothing is held back")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, texts)
	})
}
