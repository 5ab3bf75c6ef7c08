package mqtt

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hungUp reports whether the other end of a connection has closed it, without
// reading from it. It tells nothing of a connection that is no socket, such as one
// through a SOCKS proxy.
func hungUp(conn net.Conn) (gone bool) {
	onSocket(conn, func(fd int) {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(set, 0)
		gone = err == nil && n > 0 && set[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone
}

// limitSilence ends a connection whose other end does not confirm for that long
// what was sent. While nothing is read, no answer to a ping can be missed, and
// this alone notices that the way to the broker is cut.
func limitSilence(conn net.Conn, d time.Duration) {
	onSocket(conn, func(fd int) {
		// It fails on what is not TCP, which has no way to be cut.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

// directWrite returns a function that writes as much as the socket takes at once,
// or nil where the connection is no socket: TLS and WebSocket have more to do than
// to write. A connection that has failed takes nothing.
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
