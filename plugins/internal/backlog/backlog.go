// Package backlog tells whoever runs a stream what waits in its disk buffer, and what the
// engine does not show: the connection of the input inside, and why nothing can be kept.
package backlog

import (
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// FullAfter is how long a buffer may be without room before that counts as a fault.
const FullAfter = 10 * time.Second

// State is that of a buffer.
type State struct {
	Messages uint64        // that the pipeline has not finished
	Bytes    int64         // of the files
	MaxBytes int64         // the most that Bytes may be
	Age      time.Duration // of the oldest message, 0 without any
	Full     time.Time     // since when there is no room, zero if there is
	// Failure is why the disk cannot be written or read, or why the buffer cannot be
	// opened; nil if it can.
	Failure error
	// Up reports whether the input inside is connected. Down is why not, nil while that is
	// not known.
	Up   bool
	Down error
}

// Watch gives the state of the buffer of one stream, if it has one. A nil Watch gives
// none.
type Watch struct {
	mu   sync.Mutex
	read func() State
}

// Set is called by the buffer.
func (w *Watch) Set(read func() State) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = read
}

// State returns the state now, and false if the stream has no buffer.
func (w *Watch) State() (State, bool) {
	if w == nil {
		return State{}, false
	}
	w.mu.Lock()
	read := w.read
	w.mu.Unlock()
	if read == nil {
		return State{}, false
	}
	return read(), true
}

type key struct{}

// Put sets the watch of a stream. Call it before the stream runs.
func Put(r *service.Resources, w *Watch) { r.SetGeneric(key{}, w) }

// Of returns the watch of a component's stream, or nil.
func Of(r *service.Resources) *Watch {
	w, _ := r.GetGeneric(key{})
	watch, _ := w.(*Watch)
	return watch
}
