package kafka

import (
	"fmt"
	"sync"
	"time"
)

// logThrottle tells of events at most once in a while: of the first at once, of the
// rest the latest and their number.
type logThrottle struct {
	every time.Duration
	tell  func(text string) // not called twice at a time

	mu    sync.Mutex
	timer *time.Timer // set while nothing may be told
	many  int         // not told yet
	text  string      // of the latest
}

func (d *logThrottle) add(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.many++
	d.text = text
	if d.timer == nil {
		d.flushLocked()
		d.timer = time.AfterFunc(d.every, d.due)
	}
}

// due tells what has come up, or lets the next event be told at once.
func (d *logThrottle) due() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.many == 0 {
		d.timer = nil
		return
	}
	d.flushLocked()
	d.timer = time.AfterFunc(d.every, d.due)
}

// close tells what is left.
func (d *logThrottle) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.flushLocked()
}

func (d *logThrottle) flushLocked() {
	switch {
	case d.many == 1:
		d.tell(d.text)
	case d.many > 1:
		d.tell(fmt.Sprintf("%s (%d records since this was last logged)", d.text, d.many))
	}
	d.many = 0
}
