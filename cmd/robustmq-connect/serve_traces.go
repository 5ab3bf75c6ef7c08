package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	ucli "github.com/urfave/cli/v2"
	"go.opentelemetry.io/otel"

	"github.com/robustmq/robustmq-connect/plugins/tracing"
)

// closeTracesTimeout is how long the end of a service waits for a collector.
const closeTracesTimeout = time.Second

// openTraces returns what sends the spans of the connectors, nil without --traces-to.
func openTraces(c *ucli.Context, log *slog.Logger) (*tracing.Shared, error) {
	to, ratio := c.String("traces-to"), c.String("traces-ratio")
	part, err := strconv.ParseFloat(ratio, 64)
	if err != nil {
		return nil, fmt.Errorf("traces-ratio: %q is not a number from 0 to 1: 0.01 traces one message of a hundred", ratio)
	}
	if to == "" {
		if c.IsSet("traces-ratio") {
			return nil, errors.New("traces-ratio: it is ignored without traces-to: add --traces-to URL, or remove it")
		}
		return nil, nil
	}
	collector, err := tracing.ParseCollector(to)
	if err != nil {
		return nil, fmt.Errorf("traces-to: %w", err)
	}
	traces, err := tracing.NewShared(collector, part, buildVersion())
	if err != nil {
		return nil, fmt.Errorf("traces-ratio: %w", err)
	}
	otel.SetErrorHandler(warnSeldom(log))
	return traces, nil
}

// warnSeldom logs one of the faults of each minute: a collector that is away is a fault
// every 5 seconds.
func warnSeldom(log *slog.Logger) otel.ErrorHandlerFunc {
	var mu sync.Mutex
	var last time.Time
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); last.IsZero() || now.Sub(last) >= time.Minute {
			last = now
			log.Warn("Spans are lost, and messages go on", "error", err)
		}
	}
}

// closeTraces sends the spans that are left.
func closeTraces(traces *tracing.Shared, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTracesTimeout)
	defer cancel()
	if err := traces.Close(ctx); err != nil {
		log.Warn("The last spans are lost", "error", err)
	}
}
