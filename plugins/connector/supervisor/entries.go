package supervisor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// entry is one connector.
type entry struct {
	id        int
	figures   *figures
	lastError *lastError
	hide      atomic.Pointer[strings.Replacer]
	tail      *tail.Feed

	// unsettled: Kafka was unavailable when the connector was last stopped, and
	// messages that the broker had delivered were not acknowledged.
	unsettled atomic.Bool

	left atomic.Pointer[left]      // in its disk buffer, nil if that is not known
	lag  atomic.Pointer[lagReader] // of a source since it was paused, nil until somebody asks

	// Guarded by the supervisor's mutex.
	members    []*entry // behind the first one, see members.go
	definition store.Definition
	side       session.Side
	run        *run     // nil while it is paused, or failed before it was started
	failed     *failure // why it does not go on, nil unless it has failed
	hold       *hold    // it is drained for a change by another worker
	// unread: the definition cannot be read, so the connector has failed.
	unread *store.Unreadable
	// shown is the config shownOf without its secrets, nil until somebody asks.
	shown, shownOf json.RawMessage
	// certificates are those of its own settings, for the metrics.
	certificates certificateCache
}

func (s *Supervisor) newEntryLocked(d store.Definition) *entry {
	s.ids++
	e := &entry{id: s.ids, figures: newFigures(), lastError: &lastError{}, tail: s.tails.NewFeed(), definition: d}
	e.figures.setSource(d.Connector.IsSource())
	e.hide.Store(hiding(d.Connector.MQTT, d.Connector.Kafka.More))
	s.entries[d.Connector.Name], s.byID[e.id], s.byName = e, e, nil
	s.lines.Open(d.Connector.Name)
	return e
}

// dropEntry removes a connector.
func (s *Supervisor) dropEntry(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[name]; e != nil {
		e.tail.End("the connector was deleted")
		for _, one := range e.all() {
			delete(s.byID, one.id)
		}
	}
	delete(s.entries, name)
	s.byName = nil
	s.lines.Drop(name)
}

// exporter returns the figures with an id, which a stream's metrics go to.
func (s *Supervisor) exporter(id int) (service.MetricsExporter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[id]; e != nil {
		return exporter{e.figures, e.definition.Connector.Member}, nil
	}
	return nil, fmt.Errorf("looking up the figures %d: there are none", id)
}

// list returns every connector, by name. Callers do not change it.
func (s *Supervisor) list() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName == nil {
		s.byName = make([]*entry, 0, len(s.entries))
		for _, e := range s.entries {
			s.byName = append(s.byName, e)
		}
		slices.SortFunc(s.byName, func(a, b *entry) int {
			return strings.Compare(a.definition.Connector.Name, b.definition.Connector.Name)
		})
	}
	return s.byName
}

func (s *Supervisor) nameOf(e *entry) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.definition.Connector.Name
}

func (s *Supervisor) setDefinition(e *entry, d store.Definition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, one := range e.all() {
		one.definition = d
		one.definition.Connector = d.Connector.WithMember(i)
	}
}

// shownConfig returns the config without its secrets. Callers do not change it.
func (e *entry) shownConfig(s *Supervisor) json.RawMessage {
	s.mu.Lock()
	config, shown, of := e.definition.Connector.Config, e.shown, e.shownOf
	s.mu.Unlock()
	if samePlace(config, of) {
		return shown
	}
	shown = connector.RedactConfig(config)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.shown, e.shownOf = shown, config
	return shown
}

// samePlace reports whether two configs are the same memory. Configs are replaced, and
// never changed.
func samePlace(a, b json.RawMessage) bool {
	return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0]
}
