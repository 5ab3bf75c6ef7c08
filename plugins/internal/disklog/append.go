package disklog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

// Append adds the records of a batch. It waits for room, at most until the context
// ends, and not for the disk: done is called once, with nil when all records of the
// batch are durable, and with an error if the log ends before. The calls of done come
// in the order of the batches.
func (l *Log) Append(ctx context.Context, b *Batch, done func(error)) error {
	for {
		ok, changed, err := l.collect(b, done)
		if ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			l.mu.Lock()
			l.full = time.Time{}
			l.mu.Unlock()
			return ctx.Err()
		}
	}
}

func (l *Log) collect(b *Batch, done func(error)) (ok bool, changed chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := int64(len(b.b))
	switch {
	case l.closing:
		return false, nil, ErrClosed
	case len(l.waiting) > 0 && int64(len(l.pending))+size > l.opts.pendingBytes():
		return false, l.changed, nil
	case !l.roomLocked(size):
		if l.full.IsZero() {
			l.full = l.now()
			notify(l.arrived)
		}
		return false, l.changed, nil
	}
	l.full = time.Time{}
	b.seal(l.key, l.next)
	if len(l.pending) == 0 {
		l.pending = append(l.pending, make([]byte, frameSize)...) // for a mark
	}
	l.pending = append(l.pending, b.b...)
	l.waiting = append(l.waiting, done)
	l.next += uint64(b.Len())
	notify(l.work)
	return true, nil, nil
}

// roomLocked reports whether so many bytes more may be on disk. It drops the oldest
// segments for them if it may.
func (l *Log) roomLocked(more int64) bool {
	fits := func() bool {
		return l.sizeLocked()+l.writing+int64(len(l.pending))+more <= l.opts.MaxBytes
	}
	if fits() {
		return true
	}
	// The segment that is being written is removed only when it is not the last.
	l.roll = true
	if l.position == l.next {
		return true
	}
	if !l.opts.DropOldest {
		return false
	}
	// Those that are finished are removed as soon as Run comes to it.
	for free := more - l.opts.MaxBytes + l.writing + int64(len(l.pending)); l.keptLocked()+free > 0; {
		if !l.dropLocked() {
			break
		}
	}
	return true
}

// keptLocked returns the size of the segments that are not finished.
func (l *Log) keptLocked() (size int64) {
	for _, s := range l.segments {
		size += s.size
	}
	return size
}

// writer is what Run needs to write. Only Run uses it.
type writer struct {
	file     File     // of segment; nil if the next write begins one
	segment  *segment // the last of the log's
	spare    []byte   // the memory of what was written before
	isSynced bool     // all that was written is durable
	newName  bool     // the directory has to be synced for the file
	unsaved  bool     // the position could not be saved
	gaveUp   bool     // frames were not written, so that none may follow
}

// saveEvery is how often the position is made durable.
const saveEvery = time.Second

// Run writes what Append collects until Stop is called. It must run once.
func (l *Log) Run() {
	save := time.NewTicker(saveEvery)
	defer save.Stop()
	var beat <-chan time.Time
	if l.opts.SyncEvery > 0 {
		ticker := time.NewTicker(l.opts.SyncEvery)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		select {
		case <-l.work:
			l.commit()
		case <-beat:
			l.syncLate()
		case <-save.C:
			l.expire()
			l.keepPosition()
		case <-l.stopped:
			l.commit()
			l.finish()
			return
		}
	}
}

// Stop makes Run write what is left and end. What cannot be written at the first
// attempt is given up with ErrClosed.
func (l *Log) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closing {
		l.closing = true
		close(l.stopped)
		l.wakeLocked()
	}
}

// commit writes what Append has collected, and the position.
func (l *Log) commit() {
	l.writePosition()
	l.mu.Lock()
	frames, waiting, next, first, finished := l.pending, l.waiting, l.next, l.durable, len(l.finished)
	if len(waiting) > 0 {
		l.pending, l.waiting = l.writer.spare, nil
		l.writer.spare = nil
		l.writing = int64(len(frames))
		l.wakeLocked()
	}
	l.mu.Unlock()
	if len(waiting) == 0 {
		if finished > 0 {
			l.keepPosition()
		}
		return
	}
	retries := pace.Pace{First: 100 * time.Millisecond, Limit: 5 * time.Second}
	err := ErrClosed
	for !l.writer.gaveUp {
		if err = l.write(frames, first); err == nil {
			break
		}
		l.giveUpFinished()
		l.writer.gaveUp = !l.report(err, retries.Next())
	}
	l.mu.Lock()
	l.writing = 0
	if err == nil {
		l.failure, l.durable = nil, next
	}
	l.wakeLocked()
	l.mu.Unlock()
	if cap(frames) <= 2*maxPending {
		l.writer.spare = frames[:0]
	}
	notify(l.arrived)
	if err != nil && !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	for _, done := range waiting {
		done(err)
	}
}

// giveUpFinished ends the last segment if all of it is finished, so that the next attempt
// to write removes it. The disk may be full of it.
func (l *Log) giveUpFinished() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.position < l.durable || len(l.segments) == 0 {
		return
	}
	l.finished = append(l.finished, l.segments...)
	l.segments = nil
	if w := &l.writer; w.file != nil {
		_ = w.file.Close() // nobody needs what is in it
		w.file = nil
	}
}

// keepPosition makes the position durable and removes what is finished.
func (l *Log) keepPosition() {
	err := l.SavePosition()
	if err == nil {
		err = l.clean()
	}
	if err != nil && !l.writer.unsaved {
		l.warn("%s; after a restart messages may come again", err)
	}
	l.writer.unsaved = err != nil
}

// report records why nothing can be written and waits before the next attempt. It
// returns false when there is to be none.
func (l *Log) report(err error, pause time.Duration) bool {
	l.mu.Lock()
	isNew := l.failure == nil || l.failure.Error() != err.Error()
	l.failure = err
	l.mu.Unlock()
	if isNew {
		l.warn("Writing to the buffer: %s; nothing is acknowledged until that succeeds", err)
		notify(l.arrived)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.stopped:
		return false
	}
}

// write makes frames durable, or as durable as the options want. The first of their
// records has the number first. After an error it may be called again with the same
// frames: it writes them to the same place, or to a new segment if the old one can no
// longer be trusted.
func (l *Log) write(frames []byte, first uint64) error {
	w := &l.writer
	if err := l.clean(); err != nil {
		return err
	}
	if err := l.segmentFor(int64(len(frames)), first); err != nil {
		return err
	}
	if w.isSynced {
		sealFrame(frames[:frameSize], kindMark, l.key, first, l.now().UnixMilli())
	} else {
		frames = frames[frameSize:]
	}
	l.mu.Lock()
	at := w.segment.size
	l.mu.Unlock()
	if _, err := w.file.WriteAt(frames, at); err != nil {
		return fmt.Errorf("writing the segment %s: %w", w.segment.name(), err)
	}
	if l.opts.SyncEvery == 0 {
		if err := l.sync(at); err != nil {
			return err
		}
	} else {
		w.isSynced = false
	}
	l.mu.Lock()
	w.segment.size = at + int64(len(frames))
	if !slices.Contains(l.segments, w.segment) {
		l.segments = append(l.segments, w.segment)
	}
	l.mu.Unlock()
	return nil
}

// segmentFor provides the file for so many bytes.
func (l *Log) segmentFor(size int64, first uint64) error {
	w := &l.writer
	l.mu.Lock()
	begin := w.file == nil
	if !begin && w.segment.first < first {
		begin = l.roll || w.segment.size+size > l.opts.segmentBytes()
	}
	l.mu.Unlock()
	if !begin {
		return nil
	}
	if w.file != nil {
		if !w.isSynced {
			if err := l.sync(0); err != nil {
				return err
			}
		}
		_ = w.file.Close() // all of it is durable
		w.file = nil
	}
	next := &segment{first: first, key: l.key, size: headSize, begun: l.now().UnixMilli()}
	file, err := l.files.Create(next.name())
	if err != nil {
		return fmt.Errorf("creating the segment %s: %w", next.name(), err)
	}
	if _, err := file.WriteAt(headOf(l.now(), l.key), 0); err != nil {
		_ = file.Close()
		return fmt.Errorf("writing the segment %s: %w", next.name(), err)
	}
	w.file, w.segment, w.newName = file, next, true
	// The head is durable before any record, so that a damaged head says that the file
	// is damaged, and not that it was being begun.
	if err := l.sync(0); err != nil {
		return err
	}
	l.mu.Lock()
	l.roll = false
	l.mu.Unlock()
	return nil
}

// sync makes the file durable. After a failed fsync the system may take what was not
// written for written, so the file is used no more: it is cut to the durable size, if
// that is known, and what follows goes to a new segment.
func (l *Log) sync(durable int64) error {
	w := &l.writer
	err := w.file.Sync()
	if err == nil && w.newName {
		if err = l.files.Sync(); err == nil {
			w.newName = false
		}
	}
	if err == nil {
		w.isSynced = true
		return nil
	}
	if durable > 0 {
		_ = w.file.Truncate(durable) // frames of the next segment are skipped here anyway
	}
	_ = w.file.Close()
	w.file = nil
	return fmt.Errorf("syncing the segment %s: %w", w.segment.name(), err)
}

// syncLate makes durable what was reported as durable before.
func (l *Log) syncLate() {
	if l.writer.file == nil || l.writer.isSynced {
		return
	}
	if err := l.sync(0); err != nil {
		l.mu.Lock()
		l.failure = err
		l.mu.Unlock()
		l.warn("%s; messages that were acknowledged since the last interval may be lost if the machine stops", err)
		notify(l.arrived)
	}
}

// finish ends the last segment with a mark, so that the next start knows that all of it
// was durable.
func (l *Log) finish() {
	w := &l.writer
	if w.file == nil {
		return
	}
	l.syncLate()
	if w.file == nil {
		return
	}
	l.mu.Lock()
	at := w.segment.size
	next := l.durable
	l.mu.Unlock()
	mark := make([]byte, frameSize)
	sealFrame(mark, kindMark, l.key, next, l.now().UnixMilli())
	if _, err := w.file.WriteAt(mark, at); err == nil {
		_ = w.file.Sync() // without the mark the next start looks closer
	}
	_ = w.file.Close()
	w.file = nil
}
