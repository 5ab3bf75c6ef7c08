package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// elsewhereReady returns nil when every connector that should run on another worker does,
// else an error that names them. Whoever may ask without a token does not make the
// workers ask each other more often than once in othersFor.
func (s *Server) elsewhereReady(ctx context.Context) error {
	w := s.options.Workers
	if w == nil {
		return nil
	}
	s.others.mu.Lock()
	defer s.others.mu.Unlock()
	if time.Since(s.others.at) < othersFor {
		return s.others.err
	}
	named := s.namedHere()
	all, notes := s.statuses(context.WithoutCancel(ctx))
	var waits []string
	for _, one := range all {
		if w.Runs(one.Name, 0) && one.Parallelism < 2 || named[one.Name] {
			continue // the manager tells about it
		}
		switch one.State {
		case connector.Waiting, connector.Failed, connector.Unknown:
			waits = append(waits, fmt.Sprintf("%q: %s", one.Name, one.Reason))
		}
	}
	s.others.at, s.others.err = time.Now(), nil
	if all := append(waits, notes...); len(all) > 0 {
		s.others.err = errors.New("not ready on other workers: " + strings.Join(all, ", "))
	}
	return s.others.err
}

// namedHere are the connectors with several members that are not ready because of members
// that this worker runs, so that the manager names them.
func (s *Server) namedHere() map[string]bool {
	named := map[string]bool{}
	for _, one := range s.manager.List() {
		if len(one.Members) > 0 && (one.State == connector.Waiting || one.State == connector.Failed) {
			named[one.Name] = true
		}
	}
	return named
}

// others is what other workers have told last about their readiness.
type others struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// othersFor is how long that is used.
const othersFor = time.Second
