// Package handover recognises a batch that the engine hands over to an output again.
package handover

import "github.com/redpanda-data/benthos/v4/public/service"

// Same reports whether two batches are one. After ErrNotConnected the engine hands over
// the same messages again, and their payloads have the same addresses.
func Same(before, now service.MessageBatch) bool {
	if len(before) != len(now) {
		return false
	}
	for i, msg := range now {
		payload, err := msg.AsBytes()
		old, oldErr := before[i].AsBytes()
		if err != nil || oldErr != nil || !samePlace(payload, old) {
			return false
		}
	}
	return true
}

// samePlace compares the addresses of slices. Both are in use, so neither address can
// have been reused.
func samePlace(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
