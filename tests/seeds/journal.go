package seeds

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Journal records what happened in a scenario, for the report of a failure. Several
// goroutines may use it.
type Journal struct {
	began time.Time

	mu    sync.Mutex
	lines []string
}

// Add adds a line.
func (j *Journal) Add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%9.3f ", time.Since(j.began).Seconds())+fmt.Sprintf(format, args...))
}

// Write adds a line of a log. It does not fail.
func (j *Journal) Write(p []byte) (int, error) {
	j.Add("log: %s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// Logger returns a logger that writes here, from a level on.
func (j *Journal) Logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: level, ReplaceAttr: bare}))
}

// String returns the last lines.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	const most = 300
	lines := j.lines
	if len(lines) > most {
		lines = append([]string{fmt.Sprintf("(%d lines left out)", len(lines)-most)}, lines[len(lines)-most:]...)
	}
	return strings.Join(lines, "\n")
}

// bare removes the parts of a log line that are the same in each.
func bare(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "path" || a.Key == "@service" || a.Key == "label" {
		return slog.Attr{}
	}
	return a
}
