// Package logbook keeps the last lines that connectors logged in memory, and sets from
// which level on each of them logs.
package logbook

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxLine bounds the text of one line. A stack of a panic fits.
	maxLine = 16 << 10
	// overhead is what a line costs beside its text.
	overhead = 64
)

// Line is what was logged at one time.
type Line struct {
	// At is the line's own: no two lines of a book have the same, and a later one has a
	// later one.
	At    time.Time
	Level slog.Level
	Text  string // the message and its attributes
}

func (l Line) size() int { return len(l.Text) + overhead }

// Book holds the lines of all connectors, up to a number of bytes together.
type Book struct {
	most int

	mu    sync.Mutex
	size  int
	last  time.Time // when the newest line was logged
	pages map[string]*page
}

// page is what one connector logged.
type page struct {
	level atomic.Pointer[slog.Level] // nil: that of the service

	// Under the mutex of the book.
	lines   []Line
	size    int
	dropped int // lines that made room for others
}

// New makes a book of up to most bytes.
func New(most int) *Book { return &Book{most: most, pages: map[string]*page{}} }

// Open begins the page of a connector. A line of a connector without one is not kept.
func (b *Book) Open(connector string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pages[connector] == nil {
		b.pages[connector] = &page{}
	}
}

// Drop forgets a connector.
func (b *Book) Drop(connector string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.pages[connector]; p != nil {
		b.size -= p.size
		delete(b.pages, connector)
	}
}

// SetLevel sets from which level on a connector logs; nil is the level of the service.
// It is false where the connector has no page.
func (b *Book) SetLevel(connector string, level *slog.Level) bool {
	p := b.page(connector)
	if p != nil {
		p.level.Store(level)
	}
	return p != nil
}

// Level is what SetLevel has set, nil for the level of the service.
func (b *Book) Level(connector string) *slog.Level {
	if p := b.page(connector); p != nil {
		return p.level.Load()
	}
	return nil
}

func (b *Book) page(connector string) *page {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pages[connector]
}

// Read gives the newest lines of a connector that were logged later than since and at
// least at a level, up to limit, the oldest first. Omitted are those older ones that
// the limit excludes; dropped are all that have made room for others.
func (b *Book) Read(connector string, since time.Time, least slog.Level, limit int) (lines []Line, omitted, dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[connector]
	if p == nil {
		return nil, 0, 0
	}
	for _, line := range slices.Backward(p.lines) {
		switch {
		case !line.At.After(since):
			slices.Reverse(lines)
			return lines, omitted, p.dropped
		case line.Level < least:
		case len(lines) < limit:
			lines = append(lines, line)
		default:
			omitted++
		}
	}
	slices.Reverse(lines)
	return lines, omitted, p.dropped
}

// add keeps a line, and drops old ones where there is no room for it.
func (b *Book) add(connector string, line Line) {
	if len(line.Text) > maxLine {
		line.Text = strings.ToValidUTF8(line.Text[:maxLine], "") + "… (cut)"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[connector]
	if p == nil {
		return
	}
	if !line.At.After(b.last) {
		line.At = b.last.Add(1)
	}
	b.last = line.At
	p.lines = append(p.lines, line)
	p.size += line.size()
	b.size += line.size()
	for b.size > b.most {
		b.shortenLocked(p)
	}
}

// shortenLocked drops the oldest line of the connector that just logged, where it has
// more than its share, else of the one that has most: a connector that logs a lot does
// not take the lines of one that logs little.
func (b *Book) shortenLocked(p *page) {
	if p.size <= b.most/len(b.pages) {
		p = slices.MaxFunc(slices.Collect(maps.Values(b.pages)), func(a, b *page) int { return a.size - b.size })
	}
	gone := p.lines[0].size()
	p.lines[0] = Line{} // the array keeps its place until it grows, and not the text
	p.lines = p.lines[1:]
	p.dropped++
	p.size -= gone
	b.size -= gone
}
