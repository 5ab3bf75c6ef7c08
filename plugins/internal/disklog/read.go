package disklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Record is one record. Others share the memory of its body, which nobody may change.
type Record struct {
	Seq  uint64
	Time int64 // when it was received, in Unix milliseconds
	Body []byte
}

// Chunk is what Read returns: the records from From to before Next, without those that
// could not be read or were too old.
type Chunk struct {
	From, Next uint64
	Records    []Record

	place place
}

// place is where a cursor continues.
type place struct {
	segment uint64
	offset  int64
}

// readAhead is the most that is read at once, unless a record is larger.
const readAhead = 1 << 20

// cursor reads records in order.
type cursor struct {
	log     *Log
	next    uint64
	quiet   bool   // what is lost was counted before
	segment uint64 // the number of the first record in the file
	file    File   // nil if none is open
	offset  int64  // of rest
	rest    []byte // that was read and not looked at
	before  []byte // rest, before the last record
}

// Read returns records that are durable and were not read yet, none if there are none:
// at most so many, and no more once they have so many bytes. The error says why the disk
// cannot be read; Read may be called again.
func (l *Log) Read(maxRecords, maxBytes int) (Chunk, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	c := &l.reader
	// Oldest may have passed what is damaged.
	chunk := Chunk{From: l.handed.Load(), place: place{c.segment, c.offset}}
	oldest := int64(0)
	if l.opts.MaxAge > 0 {
		oldest = l.now().Add(-l.opts.MaxAge).UnixMilli()
	}
	expired := 0
	var err error
	for size := 0; len(chunk.Records)+expired < maxRecords && size < maxBytes; {
		var r Record
		var ok bool
		if r, ok, err = c.record(); !ok || err != nil {
			break
		}
		if r.Time < oldest {
			expired++
			continue
		}
		if len(chunk.Records) > 0 && size+len(r.Body) > maxBytes {
			c.unread(r)
			break
		}
		chunk.Records = append(chunk.Records, r)
		size += len(r.Body)
	}
	chunk.Next = c.next
	l.handed.Store(c.next)
	if expired > 0 {
		l.mu.Lock()
		l.dropped += uint64(expired)
		l.mu.Unlock()
	}
	if len(chunk.Records) > 0 {
		err = nil // the next call returns it
	}
	return chunk, err
}

// Again returns the records of a chunk another time, without those that were dropped
// since.
func (l *Log) Again(chunk Chunk) ([]Record, error) {
	c := cursor{log: l, next: chunk.From, quiet: true}
	defer c.close()
	var records []Record
	for c.next < chunk.Next {
		if c.file == nil && chunk.place.segment > 0 && l.first() <= chunk.place.segment {
			if err := c.open(chunk.place.segment); err == nil {
				c.offset = max(headSize, chunk.place.offset)
			}
			chunk.place.segment = 0 // once
		}
		r, ok, err := c.record()
		if err != nil {
			return nil, err
		}
		if !ok || r.Seq >= chunk.Next {
			break
		}
		records = append(records, r)
	}
	return records, nil
}

// first returns the number of the first segment.
func (l *Log) first() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return l.next
	}
	return l.segments[0].first
}

// Oldest returns the time of the next record to be read, in Unix milliseconds, and false
// if there is none or it cannot be read now.
func (l *Log) Oldest() (ms int64, ok bool) {
	l.reading.Lock()
	defer l.reading.Unlock()
	r, ok, err := l.reader.record()
	if !ok || err != nil {
		return 0, false
	}
	l.reader.unread(r)
	return r.Time, true
}

// unread makes the last record the next again.
func (c *cursor) unread(r Record) {
	c.next = r.Seq
	c.offset -= int64(frameSize + len(r.Body))
	c.rest = c.before
}

func (c *cursor) close() {
	if c.file != nil {
		_ = c.file.Close() // it was only read
	}
	c.file, c.rest, c.before = nil, nil, nil
}

// span is what may be read of a segment.
type span struct {
	segment uint64
	key     uint64
	end     int64  // the size
	limit   uint64 // the number of the first record after it
}

// locate returns where the next record is. It returns false if it is not durable yet.
func (c *cursor) locate() (span, bool) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) > 0 && c.next < l.segments[0].first {
		c.next = l.segments[0].first // those before it were dropped
	}
	if c.next >= l.durable || len(l.segments) == 0 {
		return span{}, false
	}
	for i := len(l.segments) - 1; ; i-- {
		s := l.segments[i]
		if s.first > c.next && i > 0 {
			continue
		}
		limit := l.durable
		if i+1 < len(l.segments) {
			limit = l.segments[i+1].first
		}
		return span{s.first, s.key, s.size, limit}, true
	}
}

func (c *cursor) open(segment uint64) error {
	c.close()
	file, err := c.log.files.Open(segmentName(segment))
	if err != nil {
		return fmt.Errorf("opening the segment %s: %w", segmentName(segment), err)
	}
	c.file, c.segment, c.offset = file, segment, headSize
	return nil
}

// record returns the next record, and false if there is none yet.
func (c *cursor) record() (Record, bool, error) {
	for {
		at, ok := c.locate()
		if !ok {
			return Record{}, false, nil
		}
		if c.file == nil || c.segment != at.segment {
			err := c.open(at.segment)
			if errors.Is(err, fs.ErrNotExist) {
				if now, ok := c.locate(); ok && now.segment == at.segment { // it was not dropped meanwhile
					c.lose(at, at.limit, "the file is missing")
				}
				continue
			}
			if err != nil {
				return Record{}, false, err
			}
		}
		f, ok, err := c.frame(at)
		switch {
		case err != nil:
			return Record{}, false, err
		case !ok || f.kind == kindRecord && f.seq > c.next:
			if err := c.resume(at); err != nil {
				return Record{}, false, err
			}
			continue
		}
		c.before, c.rest = c.rest, c.rest[f.size:]
		c.offset += int64(f.size)
		if f.kind == kindRecord && f.seq == c.next {
			c.next++
			return Record{Seq: f.seq, Time: f.time, Body: f.body}, true, nil
		}
	}
}

// frame returns the frame at the offset without passing it, and false if none is there.
func (c *cursor) frame(at span) (frame, bool, error) {
	left := at.end - c.offset
	for need := int64(frameSize); ; {
		if f, ok := parseFrame(c.rest, at.key); ok {
			return f, true, nil
		}
		if len(c.rest) >= frameSize {
			need = needs(c.rest)
		}
		if need > left || need <= int64(len(c.rest)) {
			return frame{}, false, nil
		}
		if err := c.fill(max(need, min(left, readAhead))); err != nil {
			return frame{}, false, err
		}
	}
}

// fill reads so many bytes from the offset.
func (c *cursor) fill(size int64) error {
	b := make([]byte, size)
	n, err := c.file.ReadAt(b, c.offset)
	if errors.Is(err, io.EOF) {
		clear(b[n:]) // the file is shorter than it was: what is missing counts as damaged
	} else if err != nil {
		return fmt.Errorf("reading the segment %s: %w", segmentName(c.segment), err)
	}
	c.rest = b
	return nil
}

// resume passes what is damaged at the offset: it continues with the next frame that is
// whole, or with the next segment.
func (c *cursor) resume(at span) error {
	if left := at.end - c.offset; left > 0 {
		if err := c.fill(left); err != nil {
			return err
		}
		if skip := findFrame(c.rest, at.key, c.next, at.limit); skip >= 0 {
			seq := binary.LittleEndian.Uint64(c.rest[skip+8:]) ^ at.key
			c.offset += int64(skip)
			c.rest = c.rest[skip:]
			c.lose(at, seq, "it is damaged")
			return nil
		}
	}
	c.lose(at, at.limit, "it is damaged")
	c.close()
	return nil
}

// lose records that the records before next cannot be read.
func (c *cursor) lose(at span, next uint64, why string) {
	l, n := c.log, next-c.next
	if c.quiet {
		c.next = next
		return
	}
	l.mu.Lock()
	for _, s := range l.segments {
		if s.first == at.segment {
			s.damaged = true
		}
	}
	l.corrupt += n
	l.mu.Unlock()
	if n > 0 {
		l.warn("The messages %d to %d of the segment %s are lost: %s; the file is kept as %[3]s.corrupt when the rest of it is delivered", c.next, next-1, segmentName(at.segment), why)
	}
	c.next = next
}
