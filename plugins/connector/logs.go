package connector

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// LogQuery selects lines of a connector's log.
type LogQuery struct {
	Since time.Time  // only lines later than that
	Least slog.Level // only lines of at least this level
	Limit int        // the newest, no more than this
}

// Logs are lines of a connector's log, oldest first.
type Logs struct {
	// Level is the level set by SetLogLevel, "" for that of the service.
	Level string
	Lines []LogLine
	// Omitted is the number of older matching lines that the limit excludes. Dropped is
	// the number of lines that are no longer kept, since the service started.
	Omitted, Dropped int
}

// LogLine is one line. No two of a service have the same time.
type LogLine struct {
	Time  time.Time
	Level slog.Level
	Text  string // the message and its attributes
}

// ParseLogLevel reads a level: debug, info, warn or error, in any case. It returns nil
// for "". The error is an *InvalidError for the field.
func ParseLogLevel(field, text string) (*slog.Level, error) {
	if text == "" {
		return nil, nil
	}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(text, level.String()) {
			return &level, nil
		}
	}
	return nil, &InvalidError{field, fmt.Sprintf("%q is unknown; must be one of debug, info, warn, error", text)}
}
