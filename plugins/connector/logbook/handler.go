package logbook

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
)

// connectorKey is the attribute that names the connector of a line.
const connectorKey = "connector"

// handler passes lines on to the service's log, and keeps those of connectors.
type handler struct {
	slog.Handler
	book *Book
	// page is that of the connector that all lines are about, nil where each says so
	// itself.
	page *page
	name string
	// said are the attributes of all lines.
	said, group string
}

// Handler passes everything on to the service's log and keeps what is about a
// connector. A logger that got the attribute connector by With logs from the level on
// that SetLevel has set for that connector, to both.
func (b *Book) Handler(service slog.Handler) slog.Handler { return handler{Handler: service, book: b} }

func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	if h.page != nil {
		if least := h.page.level.Load(); least != nil {
			return level >= *least
		}
	}
	return h.Handler.Enabled(ctx, level)
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	var text strings.Builder
	text.WriteString(r.Message + h.said)
	name := h.name
	r.Attrs(func(a slog.Attr) bool {
		if h.group == "" && a.Key == connectorKey {
			name = a.Value.Resolve().String()
			return true
		}
		writeAttr(&text, h.group, a)
		return true
	})
	if name != "" {
		h.book.add(name, Line{At: r.Time, Level: r.Level, Text: text.String()})
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	text := &strings.Builder{}
	for _, a := range attrs {
		if h.group == "" && a.Key == connectorKey {
			h.name = a.Value.Resolve().String()
			h.page = h.book.page(h.name)
			continue
		}
		writeAttr(text, h.group, a)
	}
	h.said += text.String()
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	h.group += name + "."
	return h
}

// writeAttr writes an attribute as slog.TextHandler does.
func writeAttr(b *strings.Builder, group string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			writeAttr(b, group, inner)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := value.String()
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '=' || r == '"' || !strconv.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	b.WriteString(" " + group + a.Key + "=" + text)
}
