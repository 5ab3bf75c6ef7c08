package diskbuffer

import (
	"fmt"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/internal/backlog"
	"github.com/robustmq/robustmq-connect/plugins/internal/disklog"
)

// Waiting opens the buffer in a directory, and returns what waits in it: messages, bytes
// and age. The error says so if something uses the buffer.
func Waiting(path string) (backlog.State, error) {
	files, err := disklog.OpenDir(path)
	if err != nil {
		return backlog.State{}, fmt.Errorf("opening the disk buffer: %w", err)
	}
	buffer, err := disklog.Open(files, disklog.Options{MaxBytes: minBytes})
	if err != nil {
		return backlog.State{}, fmt.Errorf("opening the disk buffer in %s: %w", path, err)
	}
	stats := buffer.Stats()
	state := backlog.State{Messages: stats.Messages, Bytes: stats.Bytes}
	if ms, ok := buffer.Oldest(); ok {
		state.Age = max(0, time.Since(time.UnixMilli(ms)))
	}
	if err := buffer.Close(); err != nil {
		return backlog.State{}, fmt.Errorf("closing the disk buffer in %s: %w", path, err)
	}
	return state, nil
}
