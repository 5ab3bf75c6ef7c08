package mqtt

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/targets"
)

// socksProxy reports which address each client requests, and connects none.
func socksProxy(t *testing.T) (addr string, asked chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() }) // the test has ended
	asked = make(chan string, 16)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			asked <- socksRequest(conn)
			_ = conn.Close() // the request is all the test needs
		}
	}()
	return listener.Addr().String(), asked
}

// socksRequest reads the greeting and the request of a client of SOCKS 5.
func socksRequest(conn net.Conn) string {
	_ = conn.SetDeadline(time.Now().Add(patience)) // an error appears below
	r := bufio.NewReader(conn)
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return err.Error()
	}
	if _, err := io.CopyN(io.Discard, r, int64(head[1])); err != nil {
		return err.Error()
	}
	if _, err := conn.Write([]byte{5, 0}); err != nil {
		return err.Error()
	}
	request := make([]byte, 4)
	if _, err := io.ReadFull(r, request); err != nil {
		return err.Error()
	}
	size := map[byte]int{1: 4, 4: 16}[request[3]]
	if request[3] == 3 {
		n, err := r.ReadByte()
		if err != nil {
			return err.Error()
		}
		size = int(n)
	}
	rest := make([]byte, size+2)
	if _, err := io.ReadFull(r, rest); err != nil {
		return err.Error()
	}
	host := string(rest[:size])
	if request[3] != 3 {
		host = net.IP(rest[:size]).String()
	}
	return fmt.Sprintf("%s:%d", host, binary.BigEndian.Uint16(rest[size:]))
}

func dialing(t *testing.T, rules targets.Rules, target string) error {
	t.Helper()
	guard, err := targets.New(rules)
	require.NoError(t, err)
	u, err := url.Parse(target)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := DialTo(guard)(ctx, u, &tls.Config{})
	if err == nil {
		require.NoError(t, conn.Close())
	}
	return err
}

// The target behind a proxy is checked here, and the proxy gets the checked address: it
// might resolve the name to another one.
func TestTargetsBehindASOCKSProxyAreChecked(t *testing.T) {
	proxy, asked := socksProxy(t)
	t.Setenv("ALL_PROXY", "socks5h://"+proxy)
	t.Setenv("NO_PROXY", "127.0.0.2")
	for _, scheme := range []string{"tcp", "ssl"} {
		err := dialing(t, targets.Rules{Deny: []string{"127.0.0.0/8", "::1"}}, scheme+"://localhost:1883")
		require.ErrorContains(t, err, "is not a target")
		require.Empty(t, asked, "the proxy was asked for a target that is denied")

		require.Error(t, dialing(t, targets.Rules{Allow: []string{"127.0.0.0/8"}}, scheme+"://localhost:1883"))
		require.Equal(t, "127.0.0.1:1883", <-asked)
		require.Error(t, dialing(t, targets.Rules{}, scheme+"://broker.invalid:1883"))
		require.Equal(t, "broker.invalid:1883", <-asked, "without rules the proxy resolves the name")

		err = dialing(t, targets.Rules{Deny: []string{"127.0.0.0/8"}}, scheme+"://127.0.0.2:1")
		require.ErrorContains(t, err, "is not a target", "a target in NO_PROXY is checked when it is dialled")
		require.Empty(t, asked)
	}
}

// The proxy for WebSockets is read from the environment once per process and is not
// used for localhost, so another process runs the test.
func TestTargetsBehindAnHTTPProxyAreChecked(t *testing.T) {
	if os.Getenv("ROBUSTMQ_TEST_PROXY") != "" {
		fmt.Println("denied:", dialing(t, targets.Rules{Deny: []string{"203.0.113.0/24"}}, "ws://203.0.113.7:8083/mqtt"))
		fmt.Println("allowed:", dialing(t, targets.Rules{Allow: []string{"203.0.113.0/24"}}, "ws://203.0.113.8:8083/mqtt"))
		fmt.Println("free:", dialing(t, targets.Rules{}, "ws://broker.invalid:8083/mqtt"))
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	asked := make(chan string, 16)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusBadGateway)
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	defer func() { _ = server.Close() }()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	test := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestTargetsBehindAnHTTPProxyAreChecked$", "-test.v")
	test.Env = append(os.Environ(), "ROBUSTMQ_TEST_PROXY=1", "HTTP_PROXY=http://"+listener.Addr().String())
	text, err := test.CombinedOutput()
	require.NoError(t, err, "%s", text)
	require.Contains(t, string(text), "denied: 203.0.113.7:8083 is not a target of this service's connectors")
	require.NotContains(t, string(text), "allowed: <nil>")
	close(asked)
	var all []string
	for a := range asked {
		all = append(all, a)
	}
	require.Equal(t, []string{"CONNECT 203.0.113.8:8083", "CONNECT broker.invalid:8083"}, all)
}

func TestUnixSocketTargetsAreChecked(t *testing.T) {
	err := dialing(t, targets.Rules{Sockets: []string{"/run/own.sock"}}, "unix:///run/other.sock")
	require.ErrorContains(t, err, "/run/other.sock is not a target")
	err = dialing(t, targets.Rules{Sockets: []string{"/run/own.sock"}}, "unix:///run/own.sock")
	require.ErrorContains(t, err, "no such file or directory")
	require.NotContains(t, err.Error(), "is not a target")
}
