package admin

import (
	"context"
	"encoding/json"
	"net/http"
)

// Plan is the data of plan: what create or update would change.
type Plan struct {
	Exists   bool          `json:"exists"`   // false: the connector would be created
	Revision int           `json:"revision"` // that of the connector; 0 without one
	Changes  []FieldChange `json:"changes"`  // by field; none where nothing would change
}

// FieldChange is one field that would change. It has no before or no after where the
// definition does not have the field.
type FieldChange struct {
	Field  string          `json:"field"` // for example config.sasl.0.password
	Before json.RawMessage `json:"before,omitempty" schema:"any"`
	After  json.RawMessage `json:"after,omitempty" schema:"any"`
	Secret bool            `json:"secret,omitempty"` // both are shown as ***
}

func (s *Server) plan(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
	c, err := readDefinition(body, nil)
	if err != nil {
		return reply{}, err
	}
	plan, err := s.manager.Plan(ctx, c)
	if err != nil {
		return reply{}, failed(c.Name, err)
	}
	answer := Plan{Exists: plan.Exists, Revision: plan.Revision, Changes: make([]FieldChange, 0, len(plan.Changes))}
	for _, f := range plan.Changes {
		f.Before, f.After = json.RawMessage(withoutUserInfo(string(f.Before))), json.RawMessage(withoutUserInfo(string(f.After)))
		answer.Changes = append(answer.Changes, FieldChange(f))
	}
	return reply{data: answer, notes: plan.Notes, revision: plan.Revision}, nil
}
