package mqtt

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// While nothing is read, only the kernel can detect that the network path to the broker
// is cut.
func TestConnectionHasALimitOnUnconfirmedData(t *testing.T) {
	_, p, in, _ := connected(t, "keepalive: 20")
	timeout := 0
	onSocket(in.current().conn, func(fd int) {
		var err error
		timeout, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		require.NoError(t, err)
	})
	require.Equal(t, 31_000, timeout, "1.5 keepalives and a second, in milliseconds")
	p.conn.Close()
}

func TestHungUpDetectsACloseWithoutReading(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	ours, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer ours.Close()
	theirs, err := ln.Accept()
	require.NoError(t, err)
	_, err = theirs.Write([]byte("unread"))
	require.NoError(t, err)
	require.False(t, hungUp(ours))
	require.NoError(t, theirs.Close())
	require.Eventually(t, func() bool { return hungUp(ours) }, patience, 1e6)
	got := make([]byte, 6)
	_, err = ours.Read(got)
	require.NoError(t, err)
	require.Equal(t, "unread", string(got))
	require.False(t, hungUp(&net.UnixConn{}), "a connection without a file descriptor")
}
