package supervisor

import (
	"context"
	"errors"
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// DeadLetters implements connector.Manager. The connector need not run.
func (s *Supervisor) DeadLetters(ctx context.Context, name string, query kafka.LetterQuery) (kafka.LetterPage, error) {
	letters, hide, err := s.lettersOf(name)
	if err != nil {
		return kafka.LetterPage{}, fmt.Errorf("reading the dead letters of %q: %w", name, err)
	}
	page, err := letters.List(ctx, query)
	if err != nil {
		return page, hide("reading the dead letters of %q: %w", name, err)
	}
	return page, nil
}

// Replay implements connector.Manager. In this process, one replay of a connector waits
// for the other; Kafka fences those of other processes.
func (s *Supervisor) Replay(ctx context.Context, name string, what kafka.Replay) (kafka.Replayed, error) {
	unlock, err := s.replays.lock(ctx, name)
	if err != nil {
		return kafka.Replayed{}, fmt.Errorf("waiting for another replay of %q: %w", name, err)
	}
	defer unlock()
	letters, hide, err := s.lettersOf(name)
	if err != nil {
		return kafka.Replayed{}, fmt.Errorf("replaying dead letters of %q: %w", name, err)
	}
	s.log.Info("Replaying dead letters", "connector", name)
	done, err := letters.Replay(ctx, what)
	s.log.Info("Replayed dead letters", "connector", name, "replayed", done.Replayed, "before", done.Already, "refused", done.RefusedCount, "more", done.Remaining)
	if err != nil {
		return done, hide("replaying dead letters of %q, of which %d were replayed: %w", name, done.Replayed, err)
	}
	return done, nil
}

// lettersOf gives the letters of a connector by the settings of its definition: its
// Kafka, its login, its limits. hide words an error without the secrets in them.
func (s *Supervisor) lettersOf(name string) (letters *kafka.Letters, hide func(format, name string, more ...any) error, err error) {
	e := s.find(name)
	if e == nil {
		return nil, nil, connector.ErrNotFound
	}
	s.mu.Lock()
	c, unread := e.definition.Connector, e.unread
	s.mu.Unlock()
	if unread != nil {
		return nil, nil, errors.New(unreadFailure(*unread).why)
	}
	if err := checkExpressions(c); err != nil {
		return nil, nil, err
	}
	if c.IsSource() {
		return nil, nil, errors.New("it is a kafka_source, whose dead letters are MQTT messages: subscribe to their topic, or read their Kafka topic if the strategy has bootstrap_servers")
	}
	document, _ := connector.Pipeline(s.effective(c))
	var pipeline struct{ Output map[string]any }
	if err := yaml.Unmarshal(document, &pipeline); err != nil {
		return nil, nil, fmt.Errorf("reading the pipeline: %w", err)
	}
	pipeline.Output["label"] = connector.Label(name) // by which its letters are told from others
	text, err := yaml.Marshal(pipeline.Output)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the output of the pipeline: %w", err)
	}
	env := s.env.Clone()
	if err := kafka.RegisterLetters(env, func(made *kafka.Letters) { letters = made }, s.kafkaOptions...); err != nil {
		return nil, nil, err
	}
	if err := constructOutput(env, string(text)); err != nil {
		return nil, nil, err
	}
	if letters == nil {
		return nil, nil, errors.New("the pipeline has no output to Kafka")
	}
	replacer := e.hide.Load()
	return letters, func(format, name string, more ...any) error {
		err := fmt.Errorf(format, append([]any{name}, more...)...)
		return &hidden{err, replacer.Replace(err.Error())}
	}, nil
}

// constructOutput constructs an output and throws it away.
func constructOutput(env *service.Environment, text string) error {
	// The test of its connections constructs it, and connects to nothing.
	return testConnections(context.Background(), env, func(b *service.ResourceBuilder) error { return b.AddOutputYAML(text) })
}

// hidden is an error without the secrets in its text.
type hidden struct {
	err  error
	text string
}

func (e *hidden) Error() string { return e.text }
func (e *hidden) Unwrap() error { return e.err }
