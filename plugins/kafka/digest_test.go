package kafka

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDigestTellsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		d := &digest{every: time.Second, tell: func(text string) { told = append(told, text) }}
		d.add("a")
		require.Equal(t, []string{"a"}, told, "the first at once")
		d.add("b")
		d.add("c")
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		require.Len(t, told, 1)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, "c (2 records since this was last told)", told[1])
		d.add("d")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, "d", told[2])
		time.Sleep(time.Hour)
		d.add("e")
		require.Equal(t, "e", told[3], "at once after a rest")
		d.add("f")
		d.close()
		require.Equal(t, "f", told[4], "nothing is kept back")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, told, 5)
	})
}
