package supervisor

import "github.com/robustmq/robustmq-connect/plugins/internal/crash"

// background runs a watcher, which Close waits for. A panic ends only that watcher.
func (s *Supervisor) background(watch func()) {
	s.watching.Go(func() {
		guard := crash.New(func(err *crash.Error) {
			s.log.Error("A panic in the service's own code: report it with this stack, and restart the service", "error", err, "stack", string(err.Stack))
		})
		defer guard.Catch("the service's own code")
		watch()
	})
}

// protect prevents a panic in code about one connector from ending the process.
func (s *Supervisor) protect(e *entry, do func()) {
	defer crash.Recover("the service's own code", func(err *crash.Error) {
		s.log.Error("A panic in the service's own code: report it with this stack", "connector", s.nameOf(e),
			"error", e.hide.Load().Replace(err.Error()), "stack", string(err.Stack))
	})
	do()
}
