package supervisor

import (
	"fmt"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// Tail implements connector.Manager. It goes on over updates, pauses and restarts of the
// connector, and ends with a delete.
func (s *Supervisor) Tail(name string, last int) (*tail.Reader, error) {
	e := s.find(name)
	if e == nil {
		return nil, fmt.Errorf("tailing %q: %w", name, connector.ErrNotFound)
	}
	reader, err := e.tail.Open(last)
	if err != nil {
		return nil, fmt.Errorf("tailing %q: %w", name, err)
	}
	return reader, nil
}

func (e *entry) lastMessage() *string {
	m, ok := e.tail.Newest()
	if !ok {
		return nil
	}
	shown := m.Payload
	if m.Topic == "" { // a record that a source has read
		shown = m.Value
	}
	text, _ := shown.Text()
	return &text
}
