package supervisor

import (
	"runtime/debug"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// quietAfter is how long the service waits between two looks at whether all connectors
// have started. Clients that have nothing to write are closed by then.
const quietAfter = 20 * time.Second

// giveBackMemory returns to the system what the start of all connectors needed, once
// they have started. Otherwise the process would keep about as much again as it uses,
// because nothing that happens at rest makes the runtime return it.
func (s *Supervisor) giveBackMemory() {
	for quiet := 0; quiet < 2; {
		if !s.sleep(quietAfter) {
			return
		}
		if quiet++; s.isStarting() {
			quiet = 0
		}
	}
	debug.FreeOSMemory()
}

// isStarting reports whether a connector has not created its stream yet.
func (s *Supervisor) isStarting() bool {
	for _, e := range s.list() {
		s.mu.Lock()
		r, failed := e.run, e.failed
		s.mu.Unlock()
		if r == nil || failed != nil {
			continue
		}
		r.mu.Lock()
		_, starts := r.waits[connector.NeedStart]
		r.mu.Unlock()
		if starts {
			return true
		}
	}
	return false
}
