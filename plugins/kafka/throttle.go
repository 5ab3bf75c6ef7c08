package kafka

import (
	"fmt"
	"sync"
	"time"
)

// logThrottle limits how often events are logged: the first at once, later ones as the
// latest and their number.
type logThrottle struct {
	every time.Duration
	tell  func(text string) // not called concurrently

	mu    sync.Mutex
	timer *time.Timer // set while nothing may be logged
	many  int         // not logged yet
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

// due logs what has accumulated, or lets the next event be logged at once.
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

// close logs what is left.
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
