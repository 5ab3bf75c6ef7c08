package supervisor

import (
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/diskbuffer"
	"github.com/robustmq/robustmq-connect/plugins/internal/backlog"
)

// left is what a disk buffer had when its stream ended.
type left struct {
	backlog.State
	at time.Time
}

// rememberLocked keeps what the stream leaves in its disk buffer.
func (r *run) rememberLocked() {
	if r.stream == nil {
		return
	}
	if state, ok := r.stream.backlog.State(); ok {
		r.entry.left.Store(&left{state, time.Now()})
	}
}

// bufferOf returns what is in the disk buffer of a connector, nil if it has none. It does
// not ask the disk.
func (s *Supervisor) bufferOf(e *entry, c connector.Connector, r *run) *connector.Buffer {
	state, live := backlog.State{}, false
	if r != nil {
		r.mu.Lock()
		if r.stream != nil {
			state, live = r.stream.backlog.State()
		}
		r.mu.Unlock()
	}
	if was := e.left.Load(); !live && was != nil {
		if state = was.State; state.Messages > 0 {
			state.Age += time.Since(was.at)
		}
	}
	if s.buffers == nil || !c.HasBuffer() && state.Messages == 0 {
		return nil
	}
	return &connector.Buffer{Messages: int64(state.Messages), Bytes: state.Bytes, MaxBytes: state.MaxBytes, Oldest: state.Age}
}

// lookAtBuffers looks once what is in the buffers of connectors that do not start.
func (s *Supervisor) lookAtBuffers() {
	for _, e := range s.list() {
		d := e.stored(s)
		if !paused(d) || !s.buffers.holds(d.Connector.Name) {
			continue
		}
		state, err := diskbuffer.Waiting(s.buffers.path(d.Connector.Name))
		if err != nil {
			s.log.Warn("Cannot tell what is in the disk buffer of a paused connector", "connector", d.Connector.Name, "error", err)
			continue
		}
		e.left.Store(&left{state, time.Now()})
	}
}
