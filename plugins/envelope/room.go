package envelope

import "slices"

// Room holds the envelopes of a batch in a few shared buffers. The zero value is ready
// to use.
type Room struct {
	current []byte
	full    [][]byte
	spare   [][]byte
}

// chunk is the size of a shared buffer, unless one envelope is larger. It is small, so
// that an envelope that outlives its batch keeps little else in memory.
const chunk = 64 << 10

// get returns a buffer with size bytes of free capacity. A new buffer has at most times
// that capacity.
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

// put returns the extended buffer to the room, and returns the added bytes.
func (r *Room) put(buf []byte) []byte {
	start := len(r.current)
	r.current = buf
	return buf[start:len(buf):len(buf)]
}

// Reset frees the memory of all envelopes for others: nobody may use them after it. It
// releases half of the spare buffers that were not needed.
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
