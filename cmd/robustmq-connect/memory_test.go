package main

import (
	"errors"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheMemoryLimitFollowsTheCgroupUnlessItIsSet(t *testing.T) {
	cgroup := func(limit uint64, err error) func() (uint64, error) {
		return func() (uint64, error) { return limit, err }
	}
	for name, test := range map[string]struct {
		environment string
		cgroup      func() (uint64, error)
		want        int64
	}{
		"a limit":        {"", cgroup(1000<<20, nil), 900 << 20},
		"set":            {"1GiB", cgroup(1000<<20, nil), 0},
		"off":            {"off", cgroup(1000<<20, nil), 0},
		"no limit":       {"", cgroup(0, errors.New("memory is not limited")), 0},
		"version 1's no": {"", cgroup(math.MaxUint64-4095, nil), 0},
		"nothing":        {"", cgroup(0, nil), 0},
	} {
		assert.Equal(t, test.want, memoryLimit(test.environment, test.cgroup), name)
	}
}

func TestTheMemoryLimitIsSetByAFlag(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	require.NoError(t, setMemoryLimit(""))
	assert.Equal(t, before, debug.SetMemoryLimit(-1))
	require.NoError(t, setMemoryLimit("400MiB"))
	assert.Equal(t, int64(400<<20), debug.SetMemoryLimit(-1))
	for _, wrong := range []string{"much", "-1", "0", "1kB", "18EiB"} {
		require.ErrorContains(t, setMemoryLimit(wrong), "memory-limit: ", wrong)
	}
	assert.Equal(t, int64(400<<20), debug.SetMemoryLimit(-1))
}

func TestGCPercentIsLargeForASmallHeapOnly(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 400, 1: 400, 4 << 20: 400, 8 << 20: 400, 16 << 20: 200, 32 << 20: 100, 1 << 30: 100, math.MaxUint64: 100,
	} {
		assert.Equal(t, want, gcPercent(live), live)
	}
	// The heap never grows further than it would by default, or than heapRoom.
	for live := uint64(1 << 20); live < 1<<30; live += 1 << 20 {
		assert.LessOrEqual(t, uint64(gcPercent(live))*live/100, max(live, heapRoom))
	}
}

func gogc() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestGCPercentFollowsTheLiveHeap(t *testing.T) {
	before := debug.SetGCPercent(100)
	tuner := newGCTuner()
	tuner.start()
	t.Cleanup(func() { debug.SetGCPercent(before) })
	becomes := func(is func(uint64) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			runtime.GC()
			return is(gogc())
		}, time.Minute, time.Millisecond, "GOGC is %d", gogc())
	}
	held := make([]byte, 200<<20)
	becomes(func(percent uint64) bool { return percent == leastPercent })
	runtime.KeepAlive(held)
	becomes(func(percent uint64) bool { return percent > leastPercent })
}
