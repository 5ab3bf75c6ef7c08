// Package seeds runs the random scenarios of a model by their seeds, each in a bubble of
// testing/synctest.
package seeds

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed alone, again and again")
	forLong = flag.Duration("for", 0, "run random seeds for so long, instead of a fixed number")
)

// patience is how long a seed may take in real time before it counts as hung.
const patience = 2 * time.Minute

// Model is a test of scenarios.
type Model struct {
	// Package is the directory of the test, for the command that repeats a seed.
	Package string
	// FailedOnce always run. The seeds from 1 to Default follow, unless flags say which.
	FailedOnce []uint64
	Default    uint64
	// Simulate runs the scenario of a seed, in a bubble of its own. It returns what was
	// wrong, and how long it took until all was well again after the last fault.
	Simulate func(seed uint64, log *Journal) (took time.Duration, err error)
}

// Test runs seeds, as many at a time as there are processors, until three have failed.
func (m Model) Test(t *testing.T) {
	next := m.seeds()
	var ran atomic.Int64
	var mu sync.Mutex
	var slowest time.Duration
	failures := 0
	t.Run("seeds", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(worker), func(t *testing.T) {
				t.Parallel()
				for seed, ok := next(); ok; seed, ok = next() {
					took, err := m.run(t, seed)
					ran.Add(1)
					mu.Lock()
					slowest = max(slowest, took)
					if err != nil {
						failures++
						t.Error(err)
					}
					enough := failures >= 3
					mu.Unlock()
					if enough {
						return
					}
				}
			})
		}
	})
	t.Logf("counted %d seeds, %d failed; after the last fault, all was well within %s", ran.Load(), failures, slowest)
	require.Positive(t, ran.Load(), "no seed ran")
}

func (m Model) run(t *testing.T, seed uint64) (took time.Duration, err error) {
	log := &Journal{}
	hung := time.AfterFunc(patience, func() { panic(fmt.Sprintf("seed %d does not end:\n%s", seed, log)) })
	defer hung.Stop()
	defer func() {
		if r := recover(); r != nil {
			panic(fmt.Sprintf("seed %d: %v", seed, r))
		}
	}()
	synctest.Test(t, func(*testing.T) {
		log.began = time.Now()
		took, err = m.Simulate(seed, log)
	})
	if err != nil {
		err = fmt.Errorf("seed %d, go test ./%s -seed %d: %w\n%s", seed, m.Package, seed, err, log)
	}
	return took, err
}

// seeds returns a function that returns the next seed. Several goroutines may call it.
func (m Model) seeds() func() (uint64, bool) {
	var n atomic.Uint64
	deadline := time.Now().Add(*forLong)
	return func() (uint64, bool) {
		i := n.Add(1) - 1
		switch {
		case *oneSeed != 0:
			return *oneSeed, i < 20
		case i < uint64(len(m.FailedOnce)):
			return m.FailedOnce[i], true
		case *forLong > 0:
			return rand.Uint64(), time.Now().Before(deadline)
		}
		return i + 1, i < m.Default
	}
}
