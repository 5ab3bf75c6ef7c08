package connector

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// LogQuery says which lines of a connector's log are wanted.
type LogQuery struct {
	Since time.Time  // only lines later than that
	Least slog.Level // only lines of at least this level
	Limit int        // the newest, no more than this
}

// Logs are lines that a connector logged, the oldest first.
type Logs struct {
	// Level is what SetLogLevel has set, "" for that of the service.
	Level string
	Lines []LogLine
	// Omitted are older lines that were asked for and that the limit excludes. Dropped
	// are the lines that are not kept any more, since the service started.
	Omitted, Dropped int
}

// LogLine is one line. No two of a service have the same time.
type LogLine struct {
	Time  time.Time
	Level slog.Level
	Text  string // the message and its attributes
}

// ParseLogLevel reads a level: debug, info, warn or error, in any case, and nil for "".
// The error is an *InvalidError of that field.
func ParseLogLevel(field, text string) (*slog.Level, error) {
	if text == "" {
		return nil, nil
	}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(text, level.String()) {
			return &level, nil
		}
	}
	return nil, &InvalidError{field, fmt.Sprintf("%q is unknown: it takes debug, info, warn, error", text)}
}
