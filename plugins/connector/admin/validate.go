package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Finding is one thing that is wrong with a definition, or that has a price.
type Finding struct {
	// Field is the member of the definition that it is about, config.topic for example;
	// "" where it is about none, or about several.
	Field string `json:"field"`
	Text  string `json:"text"`
	// Warning: the definition is taken all the same.
	Warning bool `json:"warning"`
}

// validate answers code 0 when it could judge, whatever it found.
func (s *Server) validate(_ context.Context, _ *http.Request, body []byte) (reply, error) {
	findings := []Finding{}
	add := func(f Finding) {
		f.Text = withoutUserInfo(withoutSecrets(f.Text, body))
		findings = append(findings, f)
	}
	c, err := connector.Parse(body)
	if err != nil {
		add(findingOf(err))
		return reply{data: findings}, nil
	}
	notes, err := s.manager.Validate(c)
	for _, note := range notes {
		add(Finding{Text: note, Warning: true})
	}
	if err != nil {
		add(findingOf(err))
	}
	return reply{data: findings}, nil
}

// findingOf takes the field from an error. Those of Parse begin with it.
func findingOf(err error) Finding {
	var invalid *connector.InvalidError
	if errors.As(err, &invalid) {
		return Finding{Field: invalid.Field, Text: invalid.Why}
	}
	field, text, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.ContainsAny(field, ` "`) {
		return Finding{Text: err.Error()}
	}
	return Finding{Field: field, Text: text}
}
