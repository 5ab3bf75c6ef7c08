package supervisor

import (
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// list returns every connector, by name.
func (s *Supervisor) list() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int {
		return strings.Compare(a.definition.Connector.Name, b.definition.Connector.Name)
	})
	return all
}

func (s *Supervisor) nameOf(e *entry) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.definition.Connector.Name
}

func (s *Supervisor) setDefinition(e *entry, d store.Definition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.definition = d
}

func (s *Supervisor) newEntryLocked(d store.Definition) *entry {
	s.ids++
	e := &entry{id: s.ids, figures: newFigures(), lastError: &lastError{}, tail: s.tails.NewFeed(), definition: d}
	e.hide.Store(hiding(d.Connector.MQTT, d.Connector.Kafka.More))
	s.entries[d.Connector.Name] = e
	s.lines.Open(d.Connector.Name)
	return e
}

// dropEntry removes a connector.
func (s *Supervisor) dropEntry(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[name]; e != nil {
		e.tail.End("the connector was deleted")
	}
	delete(s.entries, name)
	s.lines.Drop(name)
}
