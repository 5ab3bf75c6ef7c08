package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// The number of log lines in an answer by default, and at most.
const (
	defaultLines = 100
	maxLines     = 10000
)

// Level is the body of a change of the log level.
type Level struct {
	Name
	Level string `json:"level"` // debug, info, warn, error; "" for that of the service
}

// Logs is the data of a log.
type Logs struct {
	Level string    `json:"level"` // that was set for this connector, "" for that of the service
	Lines []LogLine `json:"lines"` // the oldest first
	// Omitted is the number of older lines that the limit excludes.
	Omitted int `json:"omitted"`
	// Dropped is the number of lines that are no longer kept, since the service
	// started.
	Dropped int `json:"dropped"`
}

// LogLine is one line of a connector's log.
type LogLine struct {
	// Time is RFC 3339 to the nanosecond, UTC, and the line's own: sent as since, it gives
	// the lines that follow.
	Time  string `json:"time"`
	Level string `json:"level"` // debug, info, warn, error
	Text  string `json:"text"`  // the message and its attributes
}

func (s *Server) logs(ctx context.Context, r *http.Request, _ []byte) (reply, error) {
	q, name, err := connectorQuery(r, "since", "limit", "level")
	if err != nil {
		return reply{}, err
	}
	var which connector.LogQuery
	if which.Since, err = q.since(time.Now()); err != nil {
		return reply{}, err
	}
	if which.Limit, err = q.number("limit"); err != nil {
		return reply{}, err
	}
	if which.Limit == 0 {
		which.Limit = defaultLines
	}
	if which.Limit > maxLines {
		return reply{}, invalid(fmt.Sprintf("limit must be between 1-%d", maxLines))
	}
	least, err := connector.ParseLogLevel("level", q.values.Get("level"))
	if err != nil {
		return reply{}, err
	}
	which.Least = slog.LevelDebug
	if least != nil {
		which.Least = *least
	}
	found, err := s.manager.Logs(name, which)
	if err != nil {
		return reply{}, failed(name, err)
	}
	found, notes := s.wholeLogs(ctx, name, which, found)
	answer := Logs{Level: found.Level, Lines: make([]LogLine, len(found.Lines)), Omitted: found.Omitted, Dropped: found.Dropped}
	for i, line := range found.Lines {
		answer.Lines[i] = LogLine{
			Time: line.Time.UTC().Format(time.RFC3339Nano), Level: strings.ToLower(line.Level.String()), Text: withoutUserInfo(line.Text),
		}
	}
	return reply{data: answer, notes: notes}, nil
}

// since reads a time, or how long ago it was.
func (q query) since(now time.Time) (time.Time, error) {
	text := q.values.Get("since")
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, invalid(fmt.Sprintf("since: %q is neither a time, 2026-11-25T10:00:00Z for example, nor a duration, 10m for example", text))
}

func (s *Server) logLevel(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
	name, given, err := nameAnd(body, "level")
	if err != nil {
		return reply{}, err
	}
	var level string
	if json.Unmarshal(given["level"], &level) != nil {
		return reply{}, invalid("level must be a string")
	}
	if err := s.manager.SetLogLevel(name, level); err != nil {
		return reply{}, failed(name, err)
	}
	return reply{data: Success, notes: s.levelElsewhere(ctx, name, level)}, nil
}
