package admin

import (
	"sync"
	"time"
)

// inFlight counts the requests in progress, so that a stopping server can wait for
// them: http.Server.Close does not.
type inFlight struct {
	mu     sync.Mutex
	count  int
	closed bool
	none   chan struct{} // closed when the last one ended after close
}

// begin returns false when the server is stopping.
func (f *inFlight) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.count++
	return true
}

func (f *inFlight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count--
	if f.closed && f.count == 0 {
		close(f.none)
	}
}

// close refuses new requests and waits for those in progress, for at most the given
// time. It reports whether all have ended, and is called once.
func (f *inFlight) close(patience time.Duration) bool {
	f.mu.Lock()
	f.closed = true
	f.none = make(chan struct{})
	if f.count == 0 {
		close(f.none)
	}
	f.mu.Unlock()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-f.none:
		return true
	case <-timeout.C:
		return false
	}
}
