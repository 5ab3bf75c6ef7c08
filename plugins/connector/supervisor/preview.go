package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
)

const (
	// maxPreviews is how many previews are made at a time.
	maxPreviews = 4
	// previewTimeout is how long one may take. The sandbox bounds what an expression
	// does, but not by a clock.
	previewTimeout = 5 * time.Second
)

// Preview implements connector.Manager. The output of the connector's own pipeline makes
// the record, in an environment where it connects to nothing.
func (s *Supervisor) Preview(ctx context.Context, c connector.Connector, m connector.SampleMessage) (connector.Preview, []string, error) {
	c, notes, err := s.judge(c)
	if err != nil {
		return connector.Preview{}, nil, err
	}
	if c.IsSource() {
		return connector.Preview{}, nil, &connector.InvalidError{Field: "connector_type", Why: "a kafka_source has no preview, which shows the Kafka record of an MQTT message; tail shows its records while it runs"}
	}
	if !mqtt.Matches(c.TopicID, m.Topic) {
		return connector.Preview{}, nil, &connector.InvalidError{
			Field: "message.topic", Why: fmt.Sprintf("%q does not match the topic filter %q: the connector does not get this message", m.Topic, c.TopicID),
		}
	}
	msg, err := s.sampled(c, m)
	if err != nil {
		return connector.Preview{}, nil, &connector.InvalidError{Field: "message.topic", Why: err.Error()}
	}

	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	select {
	case s.previewing <- struct{}{}:
	case <-ctx.Done():
		return connector.Preview{}, nil, fmt.Errorf("previewing %q: others are made and take too long: try again: %w", c.Name, ctx.Err())
	}
	made := make(chan struct{})
	preview := &kafka.Preview{Partitions: m.Partitions}
	go func() {
		defer func() { <-s.previewing }()
		defer close(made)
		guard := crash.New(func(*crash.Error) {})
		defer guard.Catch("a preview", func(panicked error) { err = panicked })
		err = s.makePreview(s.effective(c), preview, msg)
	}()
	select {
	case <-made:
	case <-ctx.Done():
		return connector.Preview{}, nil, fmt.Errorf("previewing %q: no record within %s: simplify its expressions: %w", c.Name, previewTimeout, ctx.Err())
	}
	hide := hiding(c.MQTT, c.Kafka.More)
	if err != nil {
		return connector.Preview{}, nil, errors.New(hide.Replace(fmt.Sprintf("previewing %q: %v", c.Name, err)))
	}
	if preview.Err != nil {
		return connector.Preview{Refused: &connector.InvalidError{Field: refusedField(preview.Err), Why: hide.Replace(preview.Err.Error())}}, notes, nil
	}
	return recordOf(preview), notes, nil
}

// sampled is the message as the connector's input hands it over.
func (s *Supervisor) sampled(c connector.Connector, m connector.SampleMessage) (*service.Message, error) {
	side, err := s.sideOf(c)
	if err != nil {
		return nil, err
	}
	// No limit was read by lint before, so it has one form.
	limit, _ := humanize.ParseBytes(s.effective(c).MQTT.Text("max_payload_bytes"))
	return mqtt.Sample{
		Topic: m.Topic, Payload: m.Payload, Retain: m.Retain, User: m.User, Received: time.Now(), Limit: int(limit),
		// The broker delivers with the lower one of publisher and subscriber.
		QoS: min(byte(m.QoS), side.QoS),
	}.Message()
}

// makePreview lets the output of a connector make the record.
func (s *Supervisor) makePreview(c connector.Connector, preview *kafka.Preview, msg *service.Message) error {
	const label = "preview"
	document, _ := connector.Pipeline(c)
	var pipeline struct{ Output map[string]any }
	if err := yaml.Unmarshal(document, &pipeline); err != nil {
		return fmt.Errorf("reading the pipeline: %w", err)
	}
	pipeline.Output["label"] = label
	output, err := yaml.Marshal(pipeline.Output)
	if err != nil {
		return err
	}
	b := s.previews.NewResourceBuilder()
	b.DisableLinting() // it was linted
	b.SetEnvVarLookupFunc(func(context.Context, string) (string, bool) { return "", false })
	if err := b.AddOutputYAML(string(output)); err != nil {
		return err
	}
	resources, closeAll, err := b.Build()
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		_ = closeAll(ctx) // it holds nothing but memory
	}()
	var written error
	err = resources.AccessOutput(context.Background(), label, func(o *service.ResourceOutput) {
		written = o.WriteBatch(context.Background(), service.MessageBatch{preview.Of(msg)})
	})
	return errors.Join(err, written)
}

// refusedField is the field of a request that a record cannot be made for.
func refusedField(err error) string {
	var field *kafka.FieldError
	if errors.As(err, &field) {
		return "config." + field.Field
	}
	return "message"
}

func recordOf(preview *kafka.Preview) connector.Preview {
	r := preview.Record
	p := connector.Preview{Topic: r.Topic, Key: r.Key, Value: r.Value}
	if r.Partition >= 0 {
		p.Partition = &r.Partition
	}
	for _, h := range r.Headers {
		p.Headers = append(p.Headers, connector.Header{Key: h.Key, Value: h.Value})
	}
	return p
}
