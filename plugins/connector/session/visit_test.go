package session

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A hostile broker announces a packet of 256 MB: the library would allocate that at once.
func TestABrokerThatAnnouncesALargePacketCostsNoMemory(t *testing.T) {
	r := newRig(t)
	s := side("x", "f", r.broker.URL())
	r.create("a", s)
	r.dial = func(context.Context, *url.URL, *tls.Config) (net.Conn, error) {
		broker, conn := net.Pipe()
		go func() {
			_, _ = broker.Read(make([]byte, 1000)) // CONNECT
			_, _ = broker.Write([]byte{0x20, 0xff, 0xff, 0xff, 0x7f})
			_, _ = io.Copy(io.Discard, broker) // until the client closes
		}()
		return conn, nil
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	remains := r.delete("a")
	runtime.ReadMemStats(&after)
	require.Len(t, remains.Later, 1)
	assert.Contains(t, remains.Later[0], "the broker sent a packet of type 2 with 268435455 bytes: 1048576 are allowed")
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "bytes")
	assert.Len(t, r.contents().Released, 1, "it is tried again")
}
