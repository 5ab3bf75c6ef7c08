package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/dustin/go-humanize"
)

// Go collects garbage when the heap has grown by GOGC percent, 100 by default. A bridge
// has a small live heap and allocates for every message, so at 100 percent it would
// collect some hundred times a second and use a fifth of its CPU for that. Several
// times a small heap is still little memory; the same percentage of a large one is not.
// So GOGC follows the live heap, unless the user has set it.
//
// GOMEMLIMIT makes the collector work harder before a container's limit kills the
// process. It is nine tenths of the cgroup's limit, unless the user has set it.
const (
	mostPercent  = 400
	leastPercent = 100 // Go's own
	// heapRoom is how far the heap may grow beyond its live part even if leastPercent
	// would allow less.
	heapRoom = 32 << 20

	cgroupShare = 0.9
)

// tuneMemory sets GOGC and GOMEMLIMIT unless the environment does.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		newGCTuner().start()
	}
	if limit := memoryLimit(os.Getenv("GOMEMLIMIT"), memlimit.FromCgroup); limit > 0 {
		debug.SetMemoryLimit(limit)
	}
}

// memoryLimit returns the value for GOMEMLIMIT, 0 to keep the current one.
func memoryLimit(environment string, cgroup func() (uint64, error)) int64 {
	if environment != "" {
		return 0
	}
	limit, err := cgroup()
	if err != nil || limit == 0 || limit > math.MaxInt64 {
		return 0 // there is no cgroup, or it has no limit
	}
	return int64(float64(limit) * cgroupShare)
}

// setMemoryLimit applies the limit in a flag, which takes precedence over GOMEMLIMIT.
func setMemoryLimit(text string) error {
	if text == "" {
		return nil
	}
	limit, err := parseMemory("memory-limit", text)
	if err == nil {
		debug.SetMemoryLimit(limit)
	}
	return err
}

// parseMemory reads an amount of memory in a flag.
func parseMemory(flag, text string) (int64, error) {
	size, err := humanize.ParseBytes(text)
	if err == nil && (size < 1<<20 || size > math.MaxInt64) {
		err = errors.New("it is too small or too large")
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not an amount of memory: write for example 400MiB: %w", flag, text, err)
	}
	return int64(size), nil
}

// gcPercent returns GOGC for a live heap of this size.
func gcPercent(live uint64) int {
	if live == 0 {
		return mostPercent
	}
	return int(min(max(heapRoom*100/live, leastPercent), mostPercent))
}

// gcTuner sets GOGC after every collection. It has no goroutine: the collector calls
// it, by the finalizer of an unreferenced object.
type gcTuner struct {
	percent int
	sample  [1]metrics.Sample
}

func newGCTuner() *gcTuner {
	t := &gcTuner{percent: mostPercent}
	t.sample[0].Name = "/gc/heap/live:bytes"
	return t
}

func (t *gcTuner) start() {
	debug.SetGCPercent(t.percent)
	t.again()
}

// again waits for the next collection.
func (t *gcTuner) again() {
	sentinel := new(*gcTuner) // with a pointer, so that it shares its memory with no other object
	runtime.SetFinalizer(sentinel, func(**gcTuner) {
		t.tune()
		t.again()
	})
}

// tune stops the world briefly, so it ignores small changes.
func (t *gcTuner) tune() {
	metrics.Read(t.sample[:])
	if t.sample[0].Value.Kind() != metrics.KindUint64 {
		return
	}
	percent := gcPercent(t.sample[0].Value.Uint64())
	if change := percent - t.percent; change*change > t.percent*t.percent/100 || percent == mostPercent && change != 0 {
		t.percent = percent
		debug.SetGCPercent(percent)
	}
}
