package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// A stream that does not end when it is stopped outlives its connector: only the end of
// the process can end it. It is reported to the operator, and a new stream of the same
// name waits, because the two would disconnect each other.

// survivor is a stream that was stopped and continues.
type survivor struct {
	connector string
	stream    *stream
	why       error
	since     time.Time
}

func (s *Supervisor) outlives(name string, st *stream, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.survivors = append(s.survivors, survivor{name, st, why, time.Now()})
}

// wedged returns why a stopped stream of a connector continues, or nil.
func (s *Supervisor) wedged(name string) error {
	for _, o := range s.surviving() {
		if o.connector == name {
			return o.why
		}
	}
	return nil
}

// surviving returns every stream that was stopped and continues.
func (s *Supervisor) surviving() []survivor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.survivors = slices.DeleteFunc(s.survivors, func(o survivor) bool {
		select {
		case <-o.stream.ended:
			return true
		default:
			return false
		}
	})
	return slices.Clone(s.survivors)
}

// Warnings implements connector.Manager.
func (s *Supervisor) Warnings() []string {
	all := s.outliving()
	if warning := s.mqtt.warning(); warning != "" {
		all = append(all, warning)
	}
	if warning := s.storeWarning(); warning != "" {
		all = append(all, warning)
	}
	return all
}

// outliving names the streams that were stopped and have not ended.
func (s *Supervisor) outliving() (all []string) {
	for _, o := range s.surviving() {
		all = append(all, fmt.Sprintf("a stream of connector %q was stopped and has not ended: restart the service to end it", o.connector))
	}
	return all
}

// awaitPredecessors waits for the end of streams that an earlier run of the
// connector has left behind.
func (r *run) awaitPredecessors(ctx context.Context, name string) {
	for _, o := range r.supervisor.surviving() {
		if o.connector != name {
			continue
		}
		r.wait(connector.NeedStart, errors.New("its stream from before was stopped and has not ended: restart the service if it does not"))
		select {
		case <-o.stream.ended:
		case <-ctx.Done():
		}
	}
}
