// Package throttle limits how often events are logged.
package throttle

import (
	"fmt"
	"sync"
	"time"
)

// Log limits how often events are logged: the first at once, later ones as the latest and
// their number.
type Log struct {
	every time.Duration
	what  string            // the events are about, in the plural
	tell  func(text string) // not called concurrently

	mu    sync.Mutex
	timer *time.Timer // set while nothing may be logged
	many  int         // not logged yet
	text  string      // of the latest
}

// New returns a Log that logs at most once in a period. It calls tell, from one goroutine
// at a time, which must not call the Log. what names the events in the plural.
func New(every time.Duration, what string, tell func(text string)) *Log {
	return &Log{every: every, what: what, tell: tell}
}

// Add logs an event, now or at the end of the period.
func (d *Log) Add(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.many++
	d.text = text
	if d.timer == nil {
		d.flushLocked()
		d.timer = time.AfterFunc(d.every, d.endPeriod)
	}
}

// endPeriod logs what has accumulated, or lets the next event be logged at once.
func (d *Log) endPeriod() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.many == 0 {
		d.timer = nil
		return
	}
	d.flushLocked()
	d.timer = time.AfterFunc(d.every, d.endPeriod)
}

// Close logs what is left.
func (d *Log) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.flushLocked()
}

func (d *Log) flushLocked() {
	switch {
	case d.many == 1:
		d.tell(d.text)
	case d.many > 1:
		d.tell(fmt.Sprintf("%s (%d %s since this was last logged)", d.text, d.many, d.what))
	}
	d.many = 0
}
