package supervisor

import (
	"fmt"
	"testing"

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
