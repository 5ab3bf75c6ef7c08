package tail_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// offer gives a feed a batch of messages whose topics are their numbers.
func offer(f *tail.Feed, first, n int) {
	if f.Watched() {
		f.Offer(n, func(i int) tail.Message { return tail.Message{Topic: strconv.Itoa(first + i)} })
	}
}

func open(t *testing.T, f *tail.Feed, last int) *tail.Reader {
	t.Helper()
	r, err := f.Open(last)
	require.NoError(t, err)
	return r
}

// waiting are the topics of the messages that wait for a reader.
func waiting(r *tail.Reader) (topics []string) {
	for {
		select {
		case m, more := <-r.Messages:
			if !more {
				return topics
			}
			topics = append(topics, m.Topic)
		default:
			return topics
		}
	}
}

func TestAFeedThatNobodyLooksAtKeepsNothing(t *testing.T) {
	var nobody *tail.Feed
	assert.False(t, nobody.Watched())
	var h tail.Hub
	f := h.NewFeed()
	assert.False(t, f.Watched())
	f.Offer(1, func(int) tail.Message { t.Error("shown"); return tail.Message{} })
	_, found := f.Newest()
	assert.False(t, found)
}

func TestAReaderBeginsWithTheLastMessagesSinceTheFirstOneLooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h tail.Hub
		f := h.NewFeed()
		offer(f, 0, 3)
		first := open(t, f, 10)
		assert.Empty(t, waiting(first), "nobody had looked before")
		offer(f, 3, 4)
		assert.Equal(t, []string{"3", "4", "5", "6"}, waiting(first))
		second := open(t, f, 2)
		assert.Equal(t, []string{"5", "6"}, waiting(second))
		none := open(t, f, 0)
		assert.Empty(t, waiting(none))
		newest, found := f.Newest()
		assert.True(t, found)
		assert.Equal(t, "6", newest.Topic)

		first.Close()
		second.Close()
		none.Close()
		time.Sleep(tail.Grace - time.Second)
		offer(f, 7, 1)
		back := open(t, f, 3)
		assert.Equal(t, []string{"5", "6", "7"}, waiting(back), "it went on for a grace time")
		time.Sleep(2 * tail.Grace)
		assert.True(t, f.Watched(), "while somebody looks there is no grace time")
		back.Close()
		back.Close()
		time.Sleep(tail.Grace + time.Second)
		assert.False(t, f.Watched())
		_, found = f.Newest()
		assert.False(t, found)
		late := open(t, f, 10)
		assert.Empty(t, waiting(late))
		late.Close()
		time.Sleep(2 * tail.Grace)
	})
}

func TestSoManyMessagesASecondAreShownAndTheRestIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h tail.Hub
		f := h.NewFeed()
		r := open(t, f, 0)
		offer(f, 0, 1000)
		assert.Len(t, waiting(r), tail.PerSecond)
		leftOut, dropped := r.Missed()
		assert.Equal(t, int64(1000-tail.PerSecond), leftOut)
		assert.Zero(t, dropped)
		leftOut, _ = r.Missed()
		assert.Zero(t, leftOut, "it is told once")

		offer(f, 1000, 5)
		time.Sleep(time.Second / 10)
		offer(f, 1005, 100)
		first := <-r.Messages
		assert.Equal(t, "1005", first.Topic)
		assert.Equal(t, int64(5), first.LeftOut)
		assert.Equal(t, []string{"1006"}, waiting(r), "a tenth of a second is two messages")

		late := open(t, f, 2)
		kept := <-late.Messages
		assert.Equal(t, "1005", kept.Topic)
		assert.Equal(t, int64(1000-tail.PerSecond+5), kept.LeftOut, "what is kept tells what came before it")
		r.Close()
		late.Close()
		time.Sleep(2 * tail.Grace)
	})
}

func TestASlowReaderMissesMessagesAndTheOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h tail.Hub
		f := h.NewFeed()
		slow, quick := open(t, f, 0), open(t, f, 0)
		var got []string
		for i := range 100 {
			offer(f, i, 1)
			got = append(got, waiting(quick)...)
			time.Sleep(time.Second / tail.PerSecond)
		}
		assert.Len(t, got, 100)
		_, dropped := slow.Missed()
		assert.Zero(t, dropped, "what waits is told first")
		kept := waiting(slow)
		assert.Len(t, kept, 64)
		assert.Equal(t, "63", kept[63])
		offer(f, 100, 1)
		next := <-slow.Messages
		assert.Equal(t, "100", next.Topic)
		assert.Equal(t, int64(36), next.Dropped)
		slow.Close()
		quick.Close()
		time.Sleep(2 * tail.Grace)
	})
}

func TestReadersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h tail.Hub
		var readers []*tail.Reader
		f := h.NewFeed()
		for range tail.MaxReadersEach {
			readers = append(readers, open(t, f, 0))
		}
		_, err := f.Open(0)
		require.ErrorIs(t, err, tail.ErrTooMany)
		require.EqualError(t, err, "too many tails are open: a connector has 8 at once; close one of them")
		for len(readers) < tail.MaxReaders {
			readers = append(readers, open(t, h.NewFeed(), 0))
		}
		_, err = h.NewFeed().Open(0)
		require.EqualError(t, err, "too many tails are open: the service has 32 at once; close one of them")
		readers[0].Close()
		readers[0] = open(t, f, 0)
		for _, r := range readers {
			r.Close()
		}
		time.Sleep(2 * tail.Grace)
	})
}

// Whoever looks at many connectors in turn must not make all of them keep messages.
func TestFeedsWithinTheirGraceTimeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h tail.Hub
		var feeds []*tail.Feed
		for range 100 {
			f := h.NewFeed()
			feeds = append(feeds, f)
			open(t, f, 0).Close()
		}
		watched := 0
		for _, f := range feeds {
			if f.Watched() {
				watched++
			}
		}
		assert.Equal(t, tail.MaxReaders, watched)
		assert.True(t, feeds[99].Watched(), "the newest stay")
		assert.False(t, feeds[0].Watched())
		time.Sleep(2 * tail.Grace)
		for _, f := range feeds {
			assert.False(t, f.Watched())
		}
	})
}

func TestTheEndOfAFeedIsToldAfterWhatWaits(t *testing.T) {
	var h tail.Hub
	f := h.NewFeed()
	r := open(t, f, 0)
	offer(f, 0, 2)
	f.End("it was deleted")
	assert.Equal(t, []string{"0", "1"}, waiting(r))
	_, more := <-r.Messages
	assert.False(t, more)
	assert.Equal(t, "it was deleted", r.Ended())
	r.Close()
	assert.False(t, f.Watched())
	_, err := f.Open(0)
	require.EqualError(t, err, "it was deleted")
	again := open(t, h.NewFeed(), 0)
	again.Close()
}

// A batch of a stream that nobody looks at costs one atomic load.
func BenchmarkWatched(b *testing.B) {
	var h tail.Hub
	f := h.NewFeed()
	for b.Loop() {
		if f.Watched() {
			b.Fatal("watched")
		}
	}
}
