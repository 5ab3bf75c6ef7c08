package supervisor

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// lastError is the newest error of a connector, and since when it has been that.
type lastError struct {
	mu    sync.Mutex
	text  string
	since time.Time
}

func (l *lastError) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text != l.text {
		l.text, l.since = text, time.Now()
	}
}

func (l *lastError) get() (string, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text, l.since
}

// logHandler notes the errors that a stream logs, and writes no secret of its
// connector.
type logHandler struct {
	slog.Handler
	errors *lastError
	hide   *strings.Replacer
}

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, h.hide.Replace(r.Message), r.PC)
	text := clean.Message
	r.Attrs(func(a slog.Attr) bool {
		a = h.clean(a)
		if a.Key == "error" {
			text += ": " + a.Value.String()
		}
		clean.AddAttrs(a)
		return true
	})
	if r.Level >= slog.LevelError {
		h.errors.note(text)
	}
	return h.Handler.Handle(ctx, clean)
}

func (h logHandler) clean(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.hide.Replace(v.String()))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			return slog.String(a.Key, h.hide.Replace(err.Error()))
		}
	}
	return a
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.clean(a)
	}
	h.Handler = h.Handler.WithAttrs(clean)
	return h
}

func (h logHandler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}

// hiding replaces the secrets of a connector by ***. What is shorter than this
// is found by chance in any sentence.
func hiding(settings ...connector.Settings) *strings.Replacer {
	var pairs []string
	for _, all := range settings {
		for _, setting := range all {
			var v any
			if json.Unmarshal(setting.Value, &v) == nil {
				pairs = secretsOf(pairs, []string{setting.Name}, v)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

func secretsOf(pairs, path []string, v any) []string {
	switch v := v.(type) {
	case string:
		if len(v) > 3 && connector.IsSecret(path) {
			pairs = append(pairs, v, connector.Redacted)
		}
	case []any:
		for _, item := range v {
			pairs = secretsOf(pairs, append(path[:len(path):len(path)], ""), item)
		}
	case map[string]any:
		for name, item := range v {
			pairs = secretsOf(pairs, append(path[:len(path):len(path)], name), item)
		}
	}
	return pairs
}
