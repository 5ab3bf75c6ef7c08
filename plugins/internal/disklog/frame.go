package disklog

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// A segment is a file: a head of headSize bytes, and frames. A frame is, with numbers
// in little-endian order:
//
//	 0  CRC-32C of all that follows
//	 4  length of the body
//	 8  sequence number, XOR the key of the segment
//	16  kind, one byte
//	17  time, 7 bytes: Unix milliseconds
//	24  body
//
// The key is random. Without it, what a publisher puts into a payload could pass for a
// frame where the file is damaged.
//
// A frame holds one record, or is a mark. A mark says that all that precedes it was
// durable before it was written. Its sequence number is that of the next record. Each
// segment begins with one.
const (
	frameSize = 24

	kindRecord = 1
	kindMark   = 2
)

// The head is the magic, the version of the format, the time at which the segment was
// begun, the key, and the CRC-32C of these.
const (
	headMagic   = "RMQCBUF"
	headVersion = 1
	headSize    = 28
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type frame struct {
	kind byte
	seq  uint64
	time int64 // Unix milliseconds
	body []byte
	size int // with its header
}

// parseFrame reads the frame at the start of b. It returns false if there is none, or
// if it is damaged or not whole.
func parseFrame(b []byte, key uint64) (frame, bool) {
	if len(b) < frameSize {
		return frame{}, false
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if uint64(length) > uint64(len(b)-frameSize) {
		return frame{}, false
	}
	size := frameSize + int(length)
	if crc32.Checksum(b[4:size], castagnoli) != binary.LittleEndian.Uint32(b) {
		return frame{}, false
	}
	tagged := binary.LittleEndian.Uint64(b[16:])
	return frame{
		kind: byte(tagged), seq: binary.LittleEndian.Uint64(b[8:]) ^ key, time: int64(tagged >> 8),
		body: b[frameSize:size:size], size: size,
	}, true
}

// needs returns how many bytes the frame at the start of b claims to have.
func needs(b []byte) int64 {
	return frameSize + int64(binary.LittleEndian.Uint32(b[4:]))
}

// findFrame returns the offset of the first frame in b whose sequence number is from
// low to high, or -1.
func findFrame(b []byte, key, low, high uint64) int {
	for at := 0; at+frameSize <= len(b); at++ {
		if seq := binary.LittleEndian.Uint64(b[at+8:]) ^ key; seq < low || seq > high {
			continue
		}
		if f, ok := parseFrame(b[at:], key); ok && (f.kind == kindRecord || f.kind == kindMark) {
			return at
		}
	}
	return -1
}

// sealFrame writes the header of a frame whose body is in place.
func sealFrame(b []byte, kind byte, key, seq uint64, ms int64) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-frameSize))
	binary.LittleEndian.PutUint64(b[8:], seq^key)
	binary.LittleEndian.PutUint64(b[16:], uint64(max(0, ms))<<8|uint64(kind))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
}

func headOf(now time.Time, key uint64) []byte {
	b := make([]byte, headSize)
	copy(b, headMagic)
	b[len(headMagic)] = headVersion
	binary.LittleEndian.PutUint64(b[8:], uint64(now.UnixMilli()))
	binary.LittleEndian.PutUint64(b[16:], key)
	binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	return b
}

func headIsWhole(b []byte) bool {
	return crc32.Checksum(b[:24], castagnoli) == binary.LittleEndian.Uint32(b[24:]) && string(b[:len(headMagic)]) == headMagic
}

// parseHead returns when a segment was begun, in Unix milliseconds, and its key. b is
// the beginning of the segment, to the end of the first frame. If the head is damaged,
// the key comes from the first frame, whose number is known. It returns false if that is
// damaged, too.
func parseHead(b []byte, first uint64) (begun int64, key uint64, ok bool) {
	if len(b) < headSize+frameSize {
		return 0, 0, false
	}
	if headIsWhole(b) {
		return int64(binary.LittleEndian.Uint64(b[8:])), binary.LittleEndian.Uint64(b[16:]), true
	}
	mark, ok := parseFrame(b[headSize:headSize+frameSize], 0)
	return 0, mark.seq ^ first, ok && mark.kind == kindMark
}

// A Batch collects records that are appended together. The zero value is empty.
type Batch struct {
	b      []byte
	starts []int
	times  []int64
}

// Reset empties the batch and keeps its memory, unless that is large.
func (b *Batch) Reset() {
	if cap(b.b) > maxPending {
		b.b = nil
	}
	b.b, b.starts, b.times = b.b[:0], b.starts[:0], b.times[:0]
}

// Add appends a record: write appends the body to the given slice. The time is when
// the record was received, in Unix milliseconds.
func (b *Batch) Add(ms int64, write func(to []byte) []byte) {
	b.starts, b.times = append(b.starts, len(b.b)), append(b.times, ms)
	b.b = write(append(b.b, make([]byte, frameSize)...))
}

// Len returns the number of records.
func (b *Batch) Len() int { return len(b.starts) }

// seal numbers the records from first.
func (b *Batch) seal(key, first uint64) {
	for i, start := range b.starts {
		end := len(b.b)
		if i+1 < len(b.starts) {
			end = b.starts[i+1]
		}
		sealFrame(b.b[start:end], kindRecord, key, first+uint64(i), b.times[i])
	}
}
