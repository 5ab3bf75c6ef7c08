// Package audit records who has changed what: one JSON line for each call that changes
// something, and for each that was refused.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Entry is one line. It holds no secret and no message: whoever records it takes care
// of that.
type Entry struct {
	Time      time.Time `json:"time"`            // UTC, in RFC 3339
	Actor     string    `json:"actor,omitempty"` // a token's name, anonymous, or uid:1000; none where nobody is known
	Address   string    `json:"address,omitempty"`
	Method    string    `json:"method,omitempty"`
	Route     string    `json:"route,omitempty"`
	Connector string    `json:"connector,omitempty"`
	Selector  string    `json:"selector,omitempty"` // in the place of a connector, of several
	IfMatch   string    `json:"if_match,omitempty"` // the revision that the caller has seen
	Revision  string    `json:"revision,omitempty"` // that the connector has now
	Status    int       `json:"status,omitempty"`   // HTTP's
	Code      int       `json:"code"`               // the API's, 0 for success
	Error     string    `json:"error,omitempty"`
	LeftOut   int       `json:"left_out,omitempty"` // in the place of so many entries
}

// maxText bounds what of a text an entry holds.
const maxText = 1024

// leftOutEvery is how long refused calls that are left out are counted before a line
// says how many.
const leftOutEvery = time.Minute

// Log is an audit log. A nil one records nothing. Its methods may be called from any
// goroutine.
type Log struct {
	path string // "" is a writer that is not reopened
	log  *slog.Logger

	mu     sync.Mutex
	out    io.Writer
	file   *os.File // out, where it is a file
	torn   bool     // the last line is not complete
	fault  error    // why the last entry could not be written
	lost   int      // entries that could not be written
	limits limits
	timer  *time.Timer // runs while refused calls are left out
	closed bool
}

// Open appends to a file, which it makes where there is none; "-" is stdout. What goes
// wrong later is told in the log and by Warning.
func Open(path string, stdout io.Writer, log *slog.Logger) (*Log, error) {
	l := &Log{log: log, out: stdout}
	if path == "-" {
		return l, nil
	}
	file, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	l.path, l.file, l.out = path, file, file
	return l, nil
}

func openFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	// A line that a crash or a full disk has cut is not continued.
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		if !endsWithNewline(path, info.Size()) {
			_, _ = file.WriteString("\n") // the next entry tells what is wrong
		}
	}
	return file, nil
}

func endsWithNewline(path string, size int64) bool {
	file, err := os.Open(path)
	if err != nil {
		return true // it may be for writing only
	}
	defer func() { _ = file.Close() }() // read only: nothing can be lost
	last := []byte{'\n'}
	_, _ = file.ReadAt(last, size-1)
	return last[0] == '\n'
}

// Record writes an entry. It returns once the system has it.
func (l *Log) Record(e Entry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeLocked(e)
}

// Refused writes an entry of a refused call, unless there were too many of them from
// its address, or in all: whoever knocks at the door must not fill the disk. A line
// tells how many were left out.
func (l *Log) Refused(e Entry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.limits.mayRecord(e.Address, time.Now()) {
		l.writeLocked(e)
		return
	}
	l.limits.leftOut++
	if l.timer == nil {
		l.timer = time.AfterFunc(leftOutEvery, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.tellLeftOutLocked()
		})
	}
}

func (l *Log) tellLeftOutLocked() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if n := l.limits.leftOut; n > 0 {
		l.limits.leftOut = 0
		l.writeLocked(Entry{LeftOut: n, Error: "refused calls are left out, because there were too many"})
	}
}

func (l *Log) writeLocked(e Entry) {
	if l.lost > 0 {
		lost := Entry{LeftOut: l.lost, Error: "entries could not be written: " + l.fault.Error()}
		if !l.lineLocked(lost) {
			l.lost++
			return
		}
		l.log.Info("The audit log is written again", "entries_lost", l.lost)
		l.lost, l.fault = 0, nil
	}
	if !l.lineLocked(e) {
		l.lost++
	}
}

// lineLocked tells whether a line was written.
func (l *Log) lineLocked(e Entry) bool {
	e.Time = time.Now().UTC()
	for _, text := range []*string{&e.Actor, &e.Address, &e.Method, &e.Route, &e.Connector, &e.Selector, &e.IfMatch, &e.Revision, &e.Error} {
		*text = bounded(*text)
	}
	line, _ := json.Marshal(e) // texts, numbers and a time
	text := visible(string(line)) + "\n"
	if l.torn {
		text = "\n" + text
	}
	n, err := l.out.Write([]byte(text))
	if err == nil {
		l.torn = false
		return true
	}
	l.torn = l.torn && n == 0 || n > 0
	if l.fault == nil {
		l.log.Error("Cannot write the audit log: calls are answered, and not recorded", "error", err)
	}
	l.fault = err
	return false
}

func bounded(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// visible escapes in JSON what a terminal does not show as it is.
func visible(line string) string {
	var b strings.Builder
	for _, r := range line {
		switch {
		case !connector.Hidden(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Reopen opens the file anew, after somebody has moved it away. Where that fails, the
// old one is written on.
func (l *Log) Reopen() {
	if l == nil || l.path == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	file, err := openFile(l.path)
	if err != nil {
		l.log.Error("Cannot reopen the audit log: the open file is written on", "error", err)
		return
	}
	_ = l.file.Close() // what was written is with the system
	l.file, l.out, l.torn = file, file, false
}

// Warning tells in a sentence what an operator has to act on, "" when all is well.
func (l *Log) Warning() string {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		return ""
	}
	return fmt.Sprintf("The audit log cannot be written (entries lost: %d): %v.", l.lost, l.fault)
}

// Close writes what is to be said of refused calls, and closes the file. It is called
// once, after the last entry.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellLeftOutLocked()
	l.closed = true
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
