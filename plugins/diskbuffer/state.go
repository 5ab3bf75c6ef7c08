package diskbuffer

import (
	"sync/atomic"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/internal/backlog"
	"github.com/robustmq/robustmq-connect/plugins/internal/disklog"
)

// shown is what others may ask at any time. Nothing in it waits for the disk.
type shown struct {
	buffer  atomic.Pointer[disklog.Log] // nil before it is open
	age     atomic.Int64                // of the oldest message, at the last look of watch
	failure atomic.Pointer[error]       // of the last opening or reading, nil if it succeeded
}

func (s *shown) fail(err error) {
	if err == nil {
		s.failure.Store(nil)
		return
	}
	s.failure.Store(&err)
}

// backlog returns the state of the buffer.
func (i *input) backlog() backlog.State {
	state := backlog.State{MaxBytes: i.conf.log.MaxBytes, Age: time.Duration(i.shown.age.Load())}
	state.Up, state.Down = i.link.State()
	if failure := i.shown.failure.Load(); failure != nil {
		state.Failure = *failure
	}
	buffer := i.shown.buffer.Load()
	if buffer == nil {
		return state
	}
	stats := buffer.Stats()
	state.Messages, state.Bytes, state.Full = stats.Messages, stats.Bytes, stats.Full
	if stats.Failure != nil {
		state.Failure = unwritable(stats.Failure)
	}
	return state
}
