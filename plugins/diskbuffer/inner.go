package diskbuffer

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/nested"
)

// inner is the input whose messages are kept.
type inner interface {
	ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error)
	// Close closes an input that was read, and CloseUnused one that was not.
	Close(ctx context.Context) error
	CloseUnused(ctx context.Context) error
	ConnectionTest(ctx context.Context) service.ConnectionTestResults
}

func innerInput(conf *service.ParsedConfig, mgr *service.Resources, link *nested.Link) (inner, error) {
	if !conf.Contains(fieldInput) {
		return noInput{}, nil
	}
	var in *service.OwnedInput
	err := nested.With(mgr, link, func() (err error) {
		in, err = conf.FieldInput(fieldInput)
		return err
	})
	return owned{in}, err
}

// owned is an input of the engine.
type owned struct{ *service.OwnedInput }

// CloseUnused stops, starts and then closes the input: Close alone would wait for the end
// of what has not begun.
func (o owned) CloseUnused(ctx context.Context) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	_ = o.Close(over)
	_, _, _ = o.ReadBatch(over)
	return o.Close(ctx)
}

// noInput has no messages.
type noInput struct{}

func (noInput) ReadBatch(context.Context) (service.MessageBatch, service.AckFunc, error) {
	return nil, nil, service.ErrEndOfInput
}

func (noInput) Close(context.Context) error       { return nil }
func (noInput) CloseUnused(context.Context) error { return nil }

func (noInput) ConnectionTest(context.Context) service.ConnectionTestResults {
	return service.ConnectionTestSucceeded().AsList()
}
