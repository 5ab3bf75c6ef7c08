package mqtt

import (
	"hash/maphash"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// A panic in the reading goroutine ends the connection and not the process. Messages
// that have arrived are not acknowledged.
func TestAPanicWhileReadingEndsTheConnection(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311)
	in.conf.guard = crash.New(func(*crash.Error) {})
	in.keeper.brokers.broker(in.conf.urls[0]).qos2 = &qos2{seed: maphash.MakeSeed()} // a message of QoS 2 finds no map
	guarded := crash.Input(in, in.conf.guard, "the input")
	done := background(in)
	p := b.joined(done, false, true)
	p.write(publish("a/b", 1, 1, "x"))
	_, ack := readBatch(t, guarded)
	p.write(publish("a/b", 2, 2, "x"))
	wait(t, in.conf.guard.Tripped())
	require.ErrorContains(t, in.conf.guard.Err(), "a panic in the input mqtt, reading: assignment to entry in nil map")
	require.NoError(t, ack(t.Context(), nil))
	for _, f := range p.gone() {
		// The goroutine that maintains the connection may be as quick as the one that
		// closes it.
		require.EqualValues(t, typeDisconnect, f.first>>4, "no acknowledgement is sent")
	}
	require.ErrorContains(t, in.current().reason(), "a panic in the input mqtt, reading")
}

// The function that fills the buffer may panic: the lock must be released.
func TestAPanicWhileFillingTheWriterLeavesNoLock(t *testing.T) {
	w := newWriter(nil, func() int64 { return 1 })
	require.Panics(t, func() { w.add(func([]byte) []byte { panic("boom") }) })
	w.add(func(buf []byte) []byte { return append(buf, 1) })
	buf, _ := w.swap(nil)
	require.Equal(t, []byte{1}, buf)
}
