package diskbuffer

import (
	"fmt"

	"github.com/robustmq/robustmq-connect/plugins/internal/disklog"
)

// Waiting opens the buffer in a directory, and returns how many messages wait in it and
// the size of its files in bytes. The error says so if something uses the buffer.
func Waiting(path string) (messages uint64, bytes int64, err error) {
	files, err := disklog.OpenDir(path)
	if err != nil {
		return 0, 0, fmt.Errorf("opening the disk buffer: %w", err)
	}
	buffer, err := disklog.Open(files, disklog.Options{MaxBytes: minBytes})
	if err != nil {
		return 0, 0, fmt.Errorf("opening the disk buffer in %s: %w", path, err)
	}
	stats := buffer.Stats()
	if err := buffer.Close(); err != nil {
		return 0, 0, fmt.Errorf("closing the disk buffer in %s: %w", path, err)
	}
	return stats.Messages, stats.Bytes, nil
}
