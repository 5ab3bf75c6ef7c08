package supervisor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Each stream of a connector begins with no topics: over many starts, the topics of
// messages made a series each.
func TestTopicsOfMessagesMakeABoundedNumberOfSeries(t *testing.T) {
	f := newFigures()
	keys := []string{"label", "path", "topic"}
	for start := range 50 {
		for i := range 60 {
			f.get(metricSent, 0, counterKind, keys, []string{"l", "p", fmt.Sprintf("topic-%d", start*60+i)}).Incr(1)
			f.get(metricSendDuration, 0, timerKind, keys, []string{"l", "p", fmt.Sprintf("topic-%d", start*60+i)}).Timing(1)
		}
	}
	f.get(metricInFlight, 0, gaugeKind, []string{"label"}, []string{"l"}).Set(1)
	assert.Len(t, f.allSeries(), 2*(maxTopics+1)+1)
	assert.Equal(t, int64(3000), f.sum(metricSent), "what has no series of its own is counted all the same")
	others := f.get(metricSent, 0, counterKind, keys, []string{"l", "p", "one more"})
	assert.Equal(t, []string{"l", "p", otherTopic}, others.values)
	assert.Equal(t, int64(3000-maxTopics), others.count.Load())
	assert.Equal(t, []string{"l", "p", "topic-7"}, f.get(metricSent, 0, counterKind, keys, []string{"l", "p", "topic-7"}).values)
}

// The other members made progress, and so the connector counted as well.
func TestAMemberIsStuckAmongOthersThatMakeProgress(t *testing.T) {
	f := newFigures()
	sent := func(member int) {
		exporter{f, member}.NewCounterCtor(metricSent)().Incr(1)
	}
	waits := func(member int, age time.Duration, n int64) {
		f.get(metricOldestUnacked, member, gaugeKind, nil, nil).SetFloat64(age.Seconds())
		f.get(metricInFlight, member, gaugeKind, nil, nil).Set(n)
	}
	waits(0, time.Hour, 3)
	waits(1, time.Hour, 5)
	assert.Equal(t, time.Hour, f.stuckFor(0))
	sent(0)
	assert.Less(t, f.stuckFor(0), time.Minute)
	assert.Equal(t, time.Hour, f.stuckFor(1))
	assert.Equal(t, int64(5), f.inFlight(1))
	assert.Equal(t, int64(8), f.report().InFlight)
	sent(1)
	assert.Less(t, f.stuckFor(1), time.Minute)
	assert.Equal(t, int64(2), f.sum(metricSent), "they count together")
	assert.NotZero(t, f.lastSend.Load())
	waits(0, 0, 0)
	assert.Zero(t, f.stuckFor(0))
}
