package supervisor

import (
	"context"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// labelsAlone reports whether an update changes nothing but labels of a connector that
// need not be started again. While a run delivers what an update gave up, it writes the
// definition itself.
func (s *Supervisor) labelsAlone(e *entry, before store.Definition, after connector.Connector, how connector.UpdateOptions) bool {
	s.mu.Lock()
	broken := e.unread != nil || e.hasFailedLocked()
	s.mu.Unlock()
	if broken || len(before.HandOver) > 0 || how.DiscardWaiting {
		return false
	}
	changes := connector.Changes(before.Connector, after)
	for _, change := range changes {
		if !strings.HasPrefix(change.Field, "labels.") {
			return false
		}
	}
	return len(changes) > 0
}

// relabel stores other labels while the connector goes on.
func (s *Supervisor) relabel(ctx context.Context, e *entry, before store.Definition, labels map[string]string) (connector.Result, error) {
	d := before
	d.Connector.Labels, d.Connector.UpdateTime, d.Actor = labels, time.Now().Format(time.RFC3339Nano), connector.ActorOf(ctx)
	d, aside, err := s.store.Revise(&before, d)
	if err != nil {
		return connector.Result{}, err
	}
	s.setDefinition(e, d)
	result := connector.Result{Revision: d.Revision}
	if aside != "" {
		result.Notes = []string{historyNote(aside)}
	}
	return result, nil
}

// historyNote says that a history could not be read.
func historyNote(aside string) string {
	return "the history of the connector could not be read: it is kept as " + aside + ", and a new one starts"
}
