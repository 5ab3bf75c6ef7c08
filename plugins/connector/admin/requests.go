package admin

import (
	"sync"
	"time"
)

// requests counts those under way, so that a server that stops can wait for them:
// http.Server.Close does not.
type requests struct {
	mu     sync.Mutex
	count  int
	closed bool
	none   chan struct{} // closed when the last one ended after close
}

// begin is false once the server stops.
func (q *requests) begin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.count++
	return true
}

func (q *requests) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count--
	if q.closed && q.count == 0 {
		close(q.none)
	}
}

// close lets no more begin and waits for those that have, for the given time at
// most. It tells whether all have ended, and is called once.
func (q *requests) close(patience time.Duration) bool {
	q.mu.Lock()
	q.closed = true
	q.none = make(chan struct{})
	if q.count == 0 {
		close(q.none)
	}
	q.mu.Unlock()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-q.none:
		return true
	case <-timeout.C:
		return false
	}
}
