package logbook

import (
	"io"
	"log/slog"
	"strconv"
	"testing"
)

// BenchmarkLine is one line of a connector, into a book that is full and has the pages of
// 5000 connectors, and without a book.
func BenchmarkLine(b *testing.B) {
	plain := slog.NewTextHandler(io.Discard, nil)
	full := New(8 << 20)
	for i := range 5000 {
		name := strconv.Itoa(i)
		full.Open(name)
		for range 20 {
			full.add(name, Line{Text: "a line that was there before, of a usual length, as most are"})
		}
	}
	for name, log := range map[string]*slog.Logger{"plain": slog.New(plain), "kept": slog.New(full.Handler(plain))} {
		c := log.With("connector", "17")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Error("Failed to connect to mqtt", "error", "connection refused", "n", 7)
			}
		})
		b.Run(name+"/disabled", func(b *testing.B) {
			for b.Loop() {
				c.Debug("Nobody reads this")
			}
		})
	}
}
