// Package logtext collects log output, for tests that search it.
package logtext

import (
	"bytes"
	"strings"
	"sync"
)

// Text collects everything written to it. Several goroutines may use it; the zero value
// is empty.
type Text struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer. It does not fail.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// String returns the text so far.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// Lines returns the lines so far that contain part.
func (t *Text) Lines(part string) (found []string) {
	for line := range strings.Lines(t.String()) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}
