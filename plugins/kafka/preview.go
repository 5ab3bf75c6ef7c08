package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// Preview is the record that the output kafka_franz makes of a message, or why it makes
// none.
type Preview struct {
	// Partitions is how many the topic has, 0 where that is not known.
	Partitions int

	Record kgo.Record // its partition is -1 where it is not known
	Err    error      // a *FieldError where one field is at fault
}

type previewKey struct{}

// Of returns msg as the message of this preview: the output of RegisterPreview that gets
// it sets the record.
func (p *Preview) Of(msg *service.Message) *service.Message {
	return msg.WithContext(context.WithValue(msg.Context(), previewKey{}, p))
}

// RegisterPreview adds an output kafka_franz to the environment that makes records as the
// real one does, and writes them to the messages' previews. It connects to nothing.
func RegisterPreview(env *service.Environment, opts ...Option) error {
	return env.RegisterBatchOutput("kafka_franz", Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			c, err := parseConfig(conf, opts...)
			if err != nil {
				return nil, service.BatchPolicy{}, 0, err
			}
			return &previewer{c}, service.BatchPolicy{}, 1, nil
		})
}

type previewer struct{ conf *config }

func (p *previewer) Connect(context.Context) error { return nil }
func (p *previewer) Close(context.Context) error   { return nil }

// errNoPreview is a message that no preview is waiting for.
var errNoPreview = errors.New("previewing a record: the message has no preview")

func (p *previewer) WriteBatch(_ context.Context, batch service.MessageBatch) error {
	if len(batch) != 1 {
		return errNoPreview
	}
	preview, ok := batch[0].Context().Value(previewKey{}).(*Preview)
	if !ok {
		return errNoPreview
	}
	guard := crash.New(func(*crash.Error) {})
	defer guard.Catch("making a record", func(err error) { preview.Err = err })
	p.conf.preview(preview, batch)
	return nil
}

func (c *config) preview(p *Preview, batch service.MessageBatch) {
	var b buffers
	if errs := c.records.build(batch, &b); errs != nil {
		p.Err = errs[0]
		return
	}
	p.Record = b.records[0]
	switch {
	case p.Partitions == 1:
		p.Record.Partition = 0
	case p.Partitions > 1:
		p.Record.Partition = c.foresee(&p.Record, int32(p.Partitions))
	}
}
