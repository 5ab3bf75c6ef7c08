// Package disklog is a queue of records in the files of one directory. It imports
// neither the engine nor MQTT.
//
// Records have sequence numbers without gaps. One goroutine, Run, writes what Append
// has collected and makes it durable with one fsync for all that came meanwhile. One
// consumer reads with Read and gives back with Release what it has finished. Segments
// that are finished are removed, so memory and start-up time do not depend on how much
// waits.
//
// What was reported as durable is lost only with the file itself: records carry
// checksums, a torn tail is cut when the log is opened, and around a damaged part the
// records before and after it are still read.
package disklog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned for records that were not made durable before the log ended.
var ErrClosed = errors.New("the buffer is closed")

// Options of a log.
type Options struct {
	// MaxBytes limits the size of all segments. One segment more may be on disk for a
	// moment, and one record that is larger than all is accepted when nothing waits.
	MaxBytes int64
	// DropOldest removes the oldest segment when the limit is reached. Otherwise
	// Append waits.
	DropOldest bool
	// MaxAge is how long a record may wait before it is dropped. 0 sets no limit.
	MaxAge time.Duration
	// SyncEvery is the time between two fsyncs, of which the second one covers what was
	// reported as durable since the first. 0 reports nothing before its fsync.
	SyncEvery time.Duration
	// Warn gets one sentence about each event that an operator should know. It must not
	// call the log.
	Warn func(text string)
}

const (
	// maxPending is how many bytes Append collects while others are being written.
	maxPending = 4 << 20

	maxSegment = 32 << 20
	minSegment = 64 << 10
)

// segmentBytes is the size at which the next segment begins. Space becomes free by
// segments.
func (o Options) segmentBytes() int64 {
	return min(max(o.MaxBytes/16, minSegment), maxSegment)
}

func (o Options) pendingBytes() int64 { return min(maxPending, max(o.MaxBytes/4, minSegment)) }

// Log is a queue on disk.
type Log struct {
	files Files
	opts  Options
	now   func() time.Time
	key   uint64 // of the segments that this process writes

	work    chan struct{} // one slot: there is something to write
	stopped chan struct{} // closed by Stop
	arrived chan struct{} // one slot: there may be something to read
	handed  atomic.Uint64 // the record that Read returns next

	writer  writer // of Run
	reading sync.Mutex
	reader  cursor // under reading

	mu       sync.Mutex
	segments []*segment    // the oldest first
	finished []*segment    // to be removed
	next     uint64        // the number of the next record
	durable  uint64        // records below it may be read
	position uint64        // records below it are finished
	pending  []byte        // frames to be written, after room for a mark
	waiting  []func(error) // for the frames in pending
	writing  int64         // size of what is being written
	roll     bool          // the next write begins a segment
	full     time.Time     // since when Append waits for room, zero if it does not
	failure  error         // why nothing can be written
	dropped  uint64
	corrupt  uint64
	closing  bool
	changed  chan struct{} // closed and replaced when Append may continue

	saving   sync.Mutex
	slots    positionFile // under saving
	savedSeq uint64       // the position that is durable, under saving
	// writtenSeq is the position that the next process finds, unless the machine stops.
	writtenSeq uint64 // under saving
}

// segment is one file. Its records end where those of the next one begin.
type segment struct {
	first   uint64 // the number of its first record
	key     uint64
	size    int64 // of what may be read
	begun   int64 // Unix milliseconds
	damaged bool
}

func (s *segment) name() string { return segmentName(s.first) }

// Stats are the figures of a log.
type Stats struct {
	Bytes    int64  // of all segments
	Messages uint64 // that are not finished
	Dropped  uint64 // because of their age or because there was no room, since Open
	Corrupt  uint64 // that could not be read, since Open
	// Full is since when records wait for room, zero if none does.
	Full time.Time
	// Failure is why nothing can be written, or nil.
	Failure error
}

// Stats returns the figures now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		Bytes: l.sizeLocked(), Messages: l.next - l.position,
		Dropped: l.dropped, Corrupt: l.corrupt, Full: l.full, Failure: l.failure,
	}
}

func (l *Log) sizeLocked() (size int64) {
	for _, s := range slices.Concat(l.finished, l.segments) {
		size += s.size
	}
	return size
}

// wakeLocked lets Append look again.
func (l *Log) wakeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Log) warn(format string, args ...any) { l.opts.Warn(fmt.Sprintf(format, args...)) }

// Arrived receives a value when there may be something new to read, or when the state
// of writing has changed.
func (l *Log) Arrived() <-chan struct{} { return l.arrived }

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Release records that the consumer has finished all records below seq. Segments that
// are finished are removed.
func (l *Log) Release(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.position = max(l.position, seq)
	l.finishLocked()
	l.wakeLocked()
	notify(l.work) // to write the position
}

func (l *Log) finishLocked() {
	for len(l.segments) > 1 && l.segments[1].first <= l.position {
		l.finished = append(l.finished, l.segments[0])
		l.segments = l.segments[1:]
	}
	if len(l.finished) > 0 {
		notify(l.work)
	}
}

// clean removes the segments that are finished. The position is made durable before: a
// file that is there again after the machine stopped is then known to be finished.
func (l *Log) clean() error {
	l.mu.Lock()
	finished := l.finished
	l.mu.Unlock()
	if len(finished) == 0 {
		return nil
	}
	if err := l.SavePosition(); err != nil {
		return err
	}
	for _, s := range finished {
		if err := l.remove(s); err != nil {
			return err
		}
		l.mu.Lock()
		l.finished = l.finished[1:]
		l.wakeLocked()
		l.mu.Unlock()
	}
	return nil
}

// remove removes a segment's file, or keeps a damaged one under another name for whoever
// wants to look at it.
func (l *Log) remove(s *segment) (err error) {
	if s.damaged {
		err = l.files.Rename(s.name(), s.name()+".corrupt")
	} else {
		err = l.files.Remove(s.name())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the finished segment %s: %w", s.name(), err)
	}
	return nil
}

// dropLocked gives up the oldest segment with records that are not finished. It does
// nothing if there is no other segment.
func (l *Log) dropLocked() bool {
	if len(l.segments) < 2 {
		return false
	}
	s, end := l.segments[0], l.segments[1].first
	// Those that the consumer has are not lost yet.
	if from := max(s.first, l.position, l.handed.Load()); from < end {
		l.dropped += end - from
	}
	l.position = max(l.position, end)
	l.finishLocked()
	return true
}

// CountDropped counts records that were dropped while the consumer had them, and that it has
// not finished.
func (l *Log) CountDropped(records int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped += uint64(records)
}

// expire drops the segments whose records are all older than the limit.
func (l *Log) expire() {
	if l.opts.MaxAge <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.now().Add(-l.opts.MaxAge).UnixMilli()
	for len(l.segments) > 1 && l.segments[1].begun < oldest && l.dropLocked() {
		l.wakeLocked()
	}
}

// Readable reports whether Read would return something.
func (l *Log) Readable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.handed.Load() < l.durable
}
