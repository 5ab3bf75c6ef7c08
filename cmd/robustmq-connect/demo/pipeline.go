package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

// pipelineRun is a pipeline that runs in this process.
type pipelineRun struct {
	stream *service.Stream
	done   chan struct{} // closed when the stream has ended
	err    error         // why; read it after done

	stopOnce sync.Once
}

func startPipeline(yaml string, stderr io.Writer) (*pipelineRun, error) {
	builder := service.NewStreamBuilder()
	if err := builder.SetYAML(yaml); err != nil {
		return nil, fmt.Errorf("reading the demo pipeline: %w", err)
	}
	// One thread keeps the order, as it does for the run command.
	builder.SetThreads(1)
	builder.SetLogger(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err := builder.SetMetricsYAML("none: {}"); err != nil {
		return nil, fmt.Errorf("switching off the metrics of the demo pipeline: %w", err)
	}
	stream, err := builder.Build()
	if err != nil {
		return nil, fmt.Errorf("building the demo pipeline: %w", err)
	}
	p := &pipelineRun{stream: stream, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		// stop ends it: a context that ended while the stream starts would leave it
		// locked.
		if p.err = stream.Run(context.Background()); p.err == nil {
			p.err = errors.New("the stream has no more input")
		}
	}()
	return p, nil
}

// waitLive returns when the pipeline has subscribed, so that it gets every message
// published after that.
func (p *pipelineRun) waitLive(broker *embedded.Broker) error {
	ctx, cancel := context.WithTimeout(context.Background(), demoStartTimeout)
	defer cancel()
	live := make(chan error, 1)
	go func() { live <- broker.WaitSubscribed(ctx, demoFilter) }()
	select {
	case err := <-live:
		if err != nil {
			return fmt.Errorf("starting the demo pipeline: %w", err)
		}
		return nil
	case <-p.done:
		cancel()
		<-live
		return fmt.Errorf("starting the demo pipeline: %w", p.err)
	}
}

// stop ends the stream within demoStopTimeout. It may be called more than once.
func (p *pipelineRun) stop() {
	p.stopOnce.Do(func() {
		// Messages that it could not finish appear as missing in the totals.
		if p.stream.StopWithin(demoStopTimeout) == nil {
			<-p.done
		}
	})
}
