package neterror

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func address(text string) net.Addr {
	addr, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		panic(err)
	}
	return addr
}

func TestWithoutLocalPortKeepsTheErrorAndTheServer(t *testing.T) {
	read := &net.OpError{Op: "read", Net: "tcp", Source: address("127.0.0.1:50518"), Addr: address("127.0.0.1:9092"), Err: os.ErrDeadlineExceeded}
	write := &net.OpError{Op: "write", Net: "tcp6", Source: address("[::1]:50519"), Addr: address("[::1]:1883"), Err: io.ErrClosedPipe}
	for _, test := range []struct {
		err  error
		want string
	}{
		{read, "read tcp 127.0.0.1:9092: i/o timeout"},
		{write, "write tcp6 [::1]:1883: io: read/write on closed pipe"},
		{fmt.Errorf("asking: %w", read), "asking: read tcp 127.0.0.1:9092: i/o timeout"},
		{errors.Join(read, write), "read tcp 127.0.0.1:9092: i/o timeout\nwrite tcp6 [::1]:1883: io: read/write on closed pipe"},
		{
			// The resolver keeps only the text.
			&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "read udp 10.0.0.5:41234->10.0.0.2:53: i/o timeout", Name: "kafka", Server: "10.0.0.2:53"}},
			"dial tcp: lookup kafka on 10.0.0.2:53: read udp 10.0.0.2:53: i/o timeout",
		},
		{&net.OpError{Op: "set", Net: "tcp", Addr: address("127.0.0.1:50518"), Err: net.ErrClosed}, "set tcp: use of closed network connection"},
		{&net.OpError{Op: "dial", Net: "tcp", Addr: address("127.0.0.1:9092"), Err: errors.New("connection refused")}, "dial tcp 127.0.0.1:9092: connection refused"},
		{errors.New(`topic "a->b": set up wrongly`), `topic "a->b": set up wrongly`},
	} {
		got := WithoutLocalPort(test.err)
		require.EqualError(t, got, test.want)
		require.ErrorIs(t, got, test.err)
	}
	require.NoError(t, WithoutLocalPort(nil))
}

// Each connection has another local port, and their errors have the same text.
func TestWithoutLocalPortMakesErrorsOfTwoConnectionsEqual(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	texts := map[string]bool{}
	for range 2 {
		conn, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(-time.Second)))
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, WithoutLocalPort(err), os.ErrDeadlineExceeded)
		texts[WithoutLocalPort(err).Error()] = true
	}
	require.Equal(t, map[string]bool{"read tcp " + ln.Addr().String() + ": i/o timeout": true}, texts)
}
