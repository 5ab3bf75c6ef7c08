package mqtt

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hungUp reports whether the peer has closed a connection, without reading from it. It
// reports false for a connection that is not a socket, such as one through a SOCKS
// proxy.
func hungUp(conn net.Conn) (gone bool) {
	onSocket(conn, func(fd int) {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(set, 0)
		gone = err == nil && n > 0 && set[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone
}

// limitSilence ends a connection whose peer does not acknowledge sent data for that
// long. While nothing is read, a missing answer to a ping cannot be detected, and only
// this detects that the network path is cut.
func limitSilence(conn net.Conn, d time.Duration) {
	onSocket(conn, func(fd int) {
		// It fails on what is not TCP, which has no network path.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

// acknowledgeNow makes the kernel acknowledge at once what has been read. Otherwise it
// waits for up to 40 ms for something to be written. A broker that does not set
// TCP_NODELAY, such as mosquitto, keeps its next answers back for as long.
func acknowledgeNow(conn net.Conn) {
	onSocket(conn, func(fd int) {
		// It fails on what is not TCP, which has no such acknowledgements.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}

// directWrite returns a function that writes at once as much as the socket accepts, or
// nil if the connection is not a plain socket (TLS and WebSocket transform the data).
// It writes nothing to a failed connection.
func directWrite(conn net.Conn) func(buf []byte) int {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	return func(buf []byte) (n int) {
		_ = raw.Write(func(fd uintptr) bool { // it fails on a closed socket
			n, _ = unix.Write(int(fd), buf)
			return true
		})
		return max(n, 0)
	}
}

func onSocket(conn net.Conn, do func(fd int)) {
	raw, ok := bare(conn).(syscall.Conn)
	if !ok {
		return
	}
	if control, err := raw.SyscallConn(); err == nil {
		_ = control.Control(func(fd uintptr) { do(int(fd)) }) // it fails on a closed socket
	}
}
