package mqtt

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// exchanged sends one message and its acknowledgement over a connection.
func exchanged(t *testing.T, url string, yaml string, accept func() *peer) {
	t.Helper()
	in, _ := started(t, url, v311+yaml)
	done := background(in)
	p := accept()
	p.welcome(false, true)
	require.NoError(t, wait(t, done))
	big := strings.Repeat("x", 200_000)
	p.write(publish("a/b", 1, 1, "small"), publish("a/b", 1, 2, big))
	payloads, acks := readN(t, in, 2)
	require.Equal(t, []string{"small", big}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	require.Equal(t, ackOf(typePuback, 2), p.read().String())
	p.conn.Close()
	require.NoError(t, in.Close(t.Context()))
}

func TestDialTLS(t *testing.T) {
	for _, scheme := range []string{"ssl", "tls", "mqtts"} {
		b := newScripted(t)
		server := httptest.NewUnstartedServer(nil)
		server.StartTLS()
		conf := server.TLS.Clone()
		server.Close()
		accept := func() *peer {
			p := b.accept()
			p.conn = tls.Server(p.conn, conf)
			p.in = newFrames(p.conn)
			return p
		}
		exchanged(t, scheme+"://"+b.ln.Addr().String(), "tls: {enabled: true, skip_cert_verify: true}", accept)

		b = newScripted(t) // the input above may have connected once more before it was closed
		in, _ := started(t, scheme+"://"+b.ln.Addr().String(), v311)
		done := background(in)
		go func() { _ = accept().conn.(*tls.Conn).Handshake() }() // the client reports the error
		require.ErrorContains(t, wait(t, done), "encrypting: tls: failed to verify certificate")
	}
}

func TestDialUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer ln.Close()
	exchanged(t, "unix://"+path, "", func() *peer {
		conn, err := ln.Accept()
		require.NoError(t, err)
		return &peer{t: t, conn: conn, in: newFrames(conn)}
	})
}

func TestDialWebSocket(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		conns := make(chan *websocket.Conn, 1)
		upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/mqtt" {
				http.NotFound(w, r)
				return
			}
			conn, err := upgrader.Upgrade(w, r, nil)
			if err == nil {
				conns <- conn
			}
		})
		server := httptest.NewUnstartedServer(handler)
		if scheme == "wss" {
			server.StartTLS()
		} else {
			server.Start()
		}
		url := scheme + "://" + server.Listener.Addr().String()
		exchanged(t, url+"/mqtt", "tls: {enabled: true, skip_cert_verify: true}", func() *peer {
			conn := wait(t, conns)
			require.Equal(t, "mqtt", conn.Subprotocol())
			ws := &webSocket{socket: conn.NetConn(), Conn: conn}
			return &peer{t: t, conn: ws, in: newFrames(ws)}
		})
		in, _ := started(t, url+"/other", v311+"tls: {enabled: true, skip_cert_verify: true}")
		require.ErrorContains(t, in.Connect(t.Context()), "404 Not Found; check the path of the URL")
		server.Close()
	}
}

// A deadline ends a write in progress, no matter which goroutine sets it: the broker
// may read nothing, and Close must not wait for it.
func TestDialWebSocketWriteCanBeInterrupted(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
		release := make(chan struct{})
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if conn, err := upgrader.Upgrade(w, r, nil); err == nil {
				<-release // it reads nothing
				_ = conn.Close()
			}
		}))
		if scheme == "wss" {
			server.StartTLS()
		} else {
			server.Start()
		}
		u, err := url.Parse(scheme + "://" + server.Listener.Addr().String())
		require.NoError(t, err)
		conn, err := Dial(t.Context(), u, &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		written := make(chan error, 1)
		begun := make(chan struct{})
		go func() {
			close(begun)
			for {
				if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
					written <- err
					return
				}
			}
		}()
		<-begun
		require.Never(t, func() bool { return len(written) > 0 }, 100*time.Millisecond, 10*time.Millisecond)
		require.NoError(t, conn.SetWriteDeadline(time.Now()))
		require.ErrorIs(t, wait(t, written), os.ErrDeadlineExceeded)
		hangUp(conn)
		close(release)
		server.Close()
	}
}
