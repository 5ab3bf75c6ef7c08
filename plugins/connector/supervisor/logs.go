package supervisor

import (
	"fmt"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Logs implements connector.Manager.
func (s *Supervisor) Logs(name string, which connector.LogQuery) (connector.Logs, error) {
	if s.find(name) == nil {
		return connector.Logs{}, fmt.Errorf("reading the log of %q: %w", name, connector.ErrNotFound)
	}
	lines, omitted, dropped := s.lines.Read(name, which.Since, which.Least, which.Limit)
	logs := connector.Logs{Lines: make([]connector.LogLine, len(lines)), Omitted: omitted, Dropped: dropped}
	for i, line := range lines {
		logs.Lines[i] = connector.LogLine{Time: line.At, Level: line.Level, Text: line.Text}
	}
	if level := s.lines.Level(name); level != nil {
		logs.Level = strings.ToLower(level.String())
	}
	return logs, nil
}

// SetLogLevel implements connector.Manager.
func (s *Supervisor) SetLogLevel(name, level string) error {
	least, err := connector.ParseLogLevel("level", level)
	if err != nil {
		return err
	}
	if s.find(name) == nil || !s.lines.SetLevel(name, least) {
		return fmt.Errorf("setting the log level of %q: %w", name, connector.ErrNotFound)
	}
	return nil
}
