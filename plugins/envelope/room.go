package envelope

import "slices"

// Room is where the envelopes of a batch are written: a few buffers that many of
// them share. The zero value is empty and ready.
type Room struct {
	current []byte
	full    [][]byte
	spare   [][]byte
}

// chunk is how many bytes of envelopes share a buffer, unless one is larger. It
// is small, so that one that outlives its batch keeps little else in memory.
const chunk = 64 << 10

// get returns a buffer with so many bytes to spare. A new one is no larger than
// so many times that much.
func (r *Room) get(size, times int) []byte {
	if cap(r.current)-len(r.current) >= size {
		return r.current
	}
	if r.current != nil {
		r.full = append(r.full, r.current)
	}
	if n := len(r.spare); n > 0 && size <= cap(r.spare[n-1]) {
		r.current, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		r.current = make([]byte, 0, max(size, min(size*times, chunk)))
	}
	return r.current
}

// put takes the buffer back, extended, and returns what was added.
func (r *Room) put(buf []byte) []byte {
	start := len(r.current)
	r.current = buf
	return buf[start:len(buf):len(buf)]
}

// Reset makes the room of all envelopes free for others: nobody may use them any
// more. What is not needed for long goes, half of it each time.
func (r *Room) Reset() {
	r.spare = slices.Delete(r.spare, len(r.spare)/2, len(r.spare))
	for _, buf := range append(r.full, r.current) {
		if cap(buf) == chunk {
			r.spare = append(r.spare, buf[:0])
		}
	}
	clear(r.full)
	r.current, r.full = nil, r.full[:0]
}
