package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/plugins/connector/audit"
)

// openAuditLog returns nil without --audit-log.
func openAuditLog(c *ucli.Context, log *slog.Logger) (*audit.Log, error) {
	path := c.String("audit-log")
	if path == "" {
		return nil, nil
	}
	l, err := audit.Open(path, c.App.Writer, log)
	if err != nil {
		return nil, fmt.Errorf("audit-log: %w", err)
	}
	return l, nil
}

// onHangup calls f at each SIGHUP until ctx ends; SIGHUP does not end the process in
// that time. wait returns when f is no longer called.
func onHangup(ctx context.Context, f func()) (wait func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
				f()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { <-done }
}
