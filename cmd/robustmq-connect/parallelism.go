//go:build unix

package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// The load of the process, in processors, is measured at intervals.
const (
	loadInterval = 100 * time.Millisecond
	// quietLoad is low enough for one processor, if it lasts. The same work costs up to
	// twice as much with several, so one of them then has half of its time to spare.
	quietLoad      = 0.5
	quietIntervals = 10
	// busyLoad is too high for one processor.
	busyLoad = 0.6
)

// followLoad lets Go use one processor while the process has little to do, and all of
// them otherwise. It does not return.
//
// A message passes through several goroutines. With free processors, Go wakes one for
// each hand-over, which looks for work, finds that the first processor has done it, and
// goes to sleep: more than half of the cost of a message at a low rate. With one
// processor nothing is woken.
func followLoad() {
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) == 1 {
		return // the user chose, or there is nothing to choose
	}
	l := loadFollower{quiet: func() { runtime.GOMAXPROCS(1) }, busy: runtime.SetDefaultGOMAXPROCS}
	tick := time.NewTicker(loadInterval)
	defer tick.Stop()
	used, at := processTime(), time.Now()
	for range tick.C {
		usedNow, now := processTime(), time.Now()
		l.observe((usedNow - used).Seconds() / now.Sub(at).Seconds())
		used, at = usedNow, now
	}
}

// loadFollower decides by the load of the last intervals.
type loadFollower struct {
	quiet, busy func()

	one bool // one processor is in use
	low int  // intervals in a row with a load below quietLoad
}

// observe records the load of an interval, in processors.
func (l *loadFollower) observe(load float64) {
	switch {
	case l.one && load > busyLoad:
		l.one, l.low = false, 0
		l.busy()
	case l.one:
	case load >= quietLoad:
		l.low = 0
	default:
		if l.low++; l.low >= quietIntervals {
			l.one = true
			l.quiet()
		}
	}
}

// processTime returns the processor time that the process has used.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // it has no other error than a wrong argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
