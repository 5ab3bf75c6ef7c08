package supervisor

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// lastError is the newest error of a connector, and the time of its first occurrence.
type lastError struct {
	mu    sync.Mutex
	text  string
	since time.Time
}

func (l *lastError) set(text string) {
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

// logHandler records the errors that a stream logs, and removes the connector's
// secrets.
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
		h.errors.set(text)
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

// hiding replaces the secrets of a connector by ***.
func hiding(settings ...connector.Settings) *strings.Replacer {
	var secrets []string
	for _, all := range settings {
		for _, setting := range all {
			secrets = append(secrets, secret.Texts(setting.Value, setting.Name)...)
		}
	}
	return secret.Hider(secrets)
}
