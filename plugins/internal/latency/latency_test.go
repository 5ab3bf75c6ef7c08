package latency

import (
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
)

func TestHistogramCountsEveryMessageAtOrBelowItsBound(t *testing.T) {
	var h Histogram
	h.Observe(0, 2)
	h.Observe(-time.Second, 1) // the system clock may be set back
	h.Observe(time.Millisecond, 3)
	h.Observe(time.Millisecond+1, 5)
	h.Observe(45*time.Second, 7)
	h.Observe(time.Hour, 11)
	h.Observe(time.Hour, 0)
	count, sum, below := h.Snapshot()
	assert.Equal(t, uint64(29), count)
	assert.Equal(t, 3*time.Millisecond+5*(time.Millisecond+1)+7*45*time.Second+11*time.Hour, sum)
	assert.Len(t, below, len(Bounds))
	for bound, want := range map[float64]uint64{0.001: 6, 0.0025: 11, 0.5: 11, 30: 11, 60: 18, 1800: 18} {
		assert.Equal(t, want, below[bound], "%v", bound)
	}
}

func TestNilHistogramCountsNothing(t *testing.T) {
	r := service.MockResources()
	assert.Nil(t, Of(r))
	Of(r).Observe(time.Second, 1)
	h := &Histogram{}
	Put(r, h)
	Of(r).Observe(time.Second, 1)
	count, _, _ := h.Snapshot()
	assert.Equal(t, uint64(1), count)
}
