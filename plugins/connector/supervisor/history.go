package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// History implements connector.Manager.
func (s *Supervisor) History(name string) ([]connector.Revision, error) {
	e := s.find(name)
	if e == nil {
		return nil, fmt.Errorf("reading the history of %q: %w", name, connector.ErrNotFound)
	}
	return s.history(e.stored(s))
}

func (s *Supervisor) history(d store.Definition) ([]connector.Revision, error) {
	past, err := s.store.History(d)
	if err != nil || d.Revision == 0 {
		return past, err
	}
	today := connector.Revision{
		Number: d.Revision, Time: timeOf(d.Connector.UpdateTime), Actor: d.Actor, Connector: connector.Redact(d.Connector),
	}
	return slices.Insert(past, 0, today), nil
}

// Rollback implements connector.Manager.
func (s *Supervisor) Rollback(ctx context.Context, name string, to int, how connector.UpdateOptions) (connector.Result, error) {
	return s.change(ctx, name, how, func(stored store.Definition) (connector.Connector, error) {
		all, err := s.history(stored)
		if err != nil {
			return connector.Connector{}, err
		}
		at := slices.IndexFunc(all, func(r connector.Revision) bool { return r.Number == to })
		switch {
		case to == stored.Revision:
			return connector.Connector{}, &connector.InvalidError{Field: "revision", Why: fmt.Sprintf("connector %q is at revision %d: there is nothing to restore", name, to)}
		case at < 0:
			return connector.Connector{}, &connector.InvalidError{Field: "revision", Why: fmt.Sprintf("connector %q has no revision %d in its history: %s", name, to, kept(all))}
		case all[at].Unreadable != nil:
			return connector.Connector{}, &connector.InvalidError{Field: "revision", Why: fmt.Sprintf("revision %d of connector %q cannot be read: %v: choose another", to, name, all[at].Unreadable)}
		}
		c, err := connector.KeepSecrets(all[at].Connector, stored.Connector)
		var invalid *connector.InvalidError
		if errors.As(err, &invalid) {
			invalid.Why = fmt.Sprintf("a history holds no secrets, and the one of today cannot take the place of that of revision %d (%s): update the connector to it instead", to, invalid.Why)
		}
		return c, err
	})
}

// kept says which revisions a history has.
func kept(all []connector.Revision) string {
	if len(all) == 0 {
		return "it is empty"
	}
	return fmt.Sprintf("it keeps the last %d, from %d", len(all), all[len(all)-1].Number)
}
