package disklog

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

const segmentSuffix = ".segment"

// segmentName returns the name of the file whose first record has the number.
func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

func firstOf(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

// Open opens the log in a directory and recovers it. It reads only the last segment. With
// an error, the directory is closed.
func Open(files Files, opts Options) (*Log, error) {
	l := &Log{
		files: files, opts: opts, now: time.Now,
		work: make(chan struct{}, 1), stopped: make(chan struct{}), arrived: make(chan struct{}, 1),
		changed: make(chan struct{}), next: 1,
	}
	if l.opts.Warn == nil {
		l.opts.Warn = func(string) {}
	}
	var key [8]byte
	_, _ = rand.Read(key[:]) // it cannot fail
	l.key = binary.LittleEndian.Uint64(key[:])
	if err := l.recover(); err != nil {
		l.closeFiles()
		return nil, err
	}
	return l, nil
}

func (l *Log) recover() error {
	names, err := l.files.List()
	if err != nil {
		return fmt.Errorf("listing the segments: %w", err)
	}
	for _, name := range names {
		if first, ok := firstOf(name); ok {
			l.segments = append(l.segments, &segment{first: first})
		}
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	for i, s := range l.segments {
		l.next = s.first
		if err := l.inspect(s, i == len(l.segments)-1); err != nil {
			return err
		}
	}
	position, err := l.slots.open(l.files)
	if err != nil {
		return err
	}
	l.savedSeq, l.writtenSeq = position, position
	// A position after the end comes from a machine that stopped before it wrote what
	// had been delivered already, as sync: interval allows.
	l.next = max(l.next, position)
	if len(l.segments) > 0 {
		position = max(position, l.segments[0].first)
	}
	l.durable, l.position = l.next, position
	l.finishLocked()
	if n := len(l.segments); n > 0 {
		last := l.segments[n-1]
		if last.damaged {
			l.corrupt++
			l.warn("The segment %s cannot be read from its beginning, and is kept as %[1]s.corrupt: the messages from %d are lost", last.name(), last.first)
		}
		if last.damaged || last.first >= l.next || position == l.next {
			l.finished = append(l.finished, last)
			l.segments = l.segments[:n-1]
		}
	}
	if err := l.clean(); err != nil {
		return err
	}
	l.reader = cursor{log: l, next: position}
	l.handed.Store(position)
	return nil
}

// inspect reads the size and the head of a segment. Of the last one it finds the end.
func (l *Log) inspect(s *segment, last bool) error {
	file, err := l.files.Open(s.name())
	if err != nil {
		return fmt.Errorf("opening the segment %s: %w", s.name(), err)
	}
	defer file.Close() //nolint:errcheck // what was written is synced
	if s.size, err = file.Size(); err != nil {
		return fmt.Errorf("opening the segment %s: %w", s.name(), err)
	}
	head := make([]byte, headSize+frameSize)
	if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the segment %s: %w", s.name(), err)
	}
	if version := head[len(headMagic)]; headIsWhole(head) && version != headVersion {
		return fmt.Errorf("the segment %s has version %d of the format, which this program does not know; use the program that wrote it, or another path", s.name(), version)
	}
	ok := false
	if s.begun, s.key, ok = parseHead(head, s.first); !ok && last && s.size > headSize {
		s.damaged = true
		return nil
	}
	if !last || s.size <= headSize {
		return nil
	}
	return l.cut(s, file)
}

// cut finds the end of the last segment: it removes what was being written when the
// process or the machine stopped. All of that comes after the last mark, in order or
// not, and was reported to nobody. What is damaged before the mark was durable once, so
// it stays for Read, which reports it.
func (l *Log) cut(s *segment, file File) error {
	b := make([]byte, s.size-headSize)
	if _, err := file.ReadAt(b, headSize); err != nil {
		return fmt.Errorf("reading the segment %s: %w", s.name(), err)
	}
	at := lastMark(b, s.key, s.first)
	if at < 0 {
		at = 0
	}
	next := s.first
	if f, ok := parseFrame(b[at:], s.key); ok && f.kind == kindMark && f.seq >= s.first {
		next = f.seq
	}
	for at < len(b) {
		f, ok := parseFrame(b[at:], s.key)
		if !ok || f.seq > next {
			break
		}
		if f.kind == kindRecord && f.seq == next {
			next++
		}
		at += f.size
	}
	l.next = next
	end := headSize + int64(at)
	if end < s.size {
		l.warn("The segment %s ends with %d bytes that were not completely written; they are removed, and nothing that was acknowledged is lost", s.name(), s.size-end)
		if err := file.Truncate(end); err != nil {
			return fmt.Errorf("cutting the segment %s: %w", s.name(), err)
		}
	}
	s.size = end
	// What a process wrote and did not sync before it ended is durable from here on.
	if err := file.Sync(); err != nil {
		return fmt.Errorf("syncing the segment %s: %w", s.name(), err)
	}
	return nil
}

// lastMark returns the offset of the last mark in the frames of a segment, or -1.
func lastMark(b []byte, key, first uint64) int {
	last, high := -1, first+uint64(len(b)/frameSize)
	for at, low := 0, first; at < len(b); {
		f, ok := parseFrame(b[at:], key)
		if !ok {
			skip := findFrame(b[at:], key, low, high)
			if skip < 0 {
				break
			}
			at += skip
			continue
		}
		if f.kind == kindMark {
			last = at
		}
		low = max(low, f.seq)
		at += f.size
	}
	return last
}

// Close makes the position durable and gives up the directory. Call it when Run has
// ended, or was never called.
func (l *Log) Close() error {
	l.Stop()
	err := l.SavePosition()
	l.closeFiles()
	return err
}

func (l *Log) closeFiles() {
	l.reading.Lock()
	l.reader.close()
	l.reading.Unlock()
	l.saving.Lock()
	if l.slots.file != nil {
		_ = l.slots.file.Close() // it is synced
		l.slots.file = nil
	}
	l.saving.Unlock()
	_ = l.files.Close() // the lock ends with the process at the latest
}
