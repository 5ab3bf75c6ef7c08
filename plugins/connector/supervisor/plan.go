package supervisor

import (
	"context"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Plan implements connector.Manager. A definition that changes nothing is not judged:
// the connector has it already.
func (s *Supervisor) Plan(_ context.Context, c connector.Connector) (connector.Plan, error) {
	var plan connector.Plan
	var stored connector.Connector
	if e := s.find(c.Name); e == nil {
		if err := connector.CheckName(c.Name); err != nil {
			return plan, err
		}
	} else {
		s.mu.Lock()
		d, unread := e.definition, e.unread != nil
		s.mu.Unlock()
		plan.Exists, plan.Revision = true, d.Revision
		if !unread {
			stored = d.Connector
		}
	}
	c, err := connector.KeepSecrets(c, stored)
	if err != nil {
		return plan, err
	}
	if c.Labels == nil {
		c.Labels = stored.Labels
	}
	if plan.Changes = connector.Changes(stored, c); len(plan.Changes) == 0 {
		return plan, nil
	}
	_, plan.Notes, err = s.validate(c)
	return plan, err
}
