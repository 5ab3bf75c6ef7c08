package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/net/proxy"
)

// dial opens the connection that a URL names, through a proxy where the
// environment has one.
func dial(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	switch u.Scheme {
	case "tcp", "mqtt":
		return proxy.Dial(ctx, "tcp", u.Host)
	case "ssl", "tls", "mqtts", "mqtt+ssl", "tcps":
		return dialTLS(ctx, u, conf)
	case "ws", "wss":
		return dialWebSocket(ctx, u, conf)
	case "unix":
		// unix://name is a path relative to the working directory.
		path := u.Host
		if path == "" {
			path = u.Path
		}
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return nil, fmt.Errorf("scheme %q is unknown", u.Scheme)
}

func dialTLS(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	conn, err := proxy.Dial(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	if conf = conf.Clone(); conf.ServerName == "" {
		conf.ServerName = u.Hostname()
	}
	secure := tls.Client(conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the one to tell
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return secure, nil
}

func dialWebSocket(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	var socket *ownDeadlines
	dialer := websocket.Dialer{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: conf,
		Subprotocols:    []string{"mqtt"},
		ReadBufferSize:  readBuffer,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			socket = &ownDeadlines{Conn: conn}
			return socket, nil
		},
	}
	bare := *u // the user info is for MQTT, not for HTTP
	bare.User = nil
	conn, response, err := dialer.DialContext(ctx, bare.String(), nil)
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("%w: the server answered %s; check the path of the URL", err, response.Status)
		}
		return nil, err
	}
	socket.ours.Store(true)
	return &webSocket{Conn: conn, socket: socket.Conn}, nil
}

// ownDeadlines is a connection whose deadlines are the WebSocket library's while
// it dials, and ours from then on: the library keeps the one for writing in a plain
// field, which only the goroutine that writes may set, and gives it to the
// connection before each write.
type ownDeadlines struct {
	net.Conn
	ours atomic.Bool
}

func (c *ownDeadlines) SetDeadline(t time.Time) error {
	if c.ours.Load() {
		return nil
	}
	return c.Conn.SetDeadline(t)
}

func (c *ownDeadlines) SetReadDeadline(t time.Time) error {
	if c.ours.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *ownDeadlines) SetWriteDeadline(t time.Time) error {
	if c.ours.Load() {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// webSocket is the stream of bytes in the binary messages of a WebSocket. One
// goroutine may read and one write; any may set deadlines, which end a read or a
// write that is under way too.
type webSocket struct {
	*websocket.Conn
	socket  net.Conn  // below the WebSocket, and TLS
	message io.Reader // being read, or nil
}

func (w *webSocket) Read(p []byte) (int, error) {
	for {
		if w.message == nil {
			_, message, err := w.NextReader()
			if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
				return 0, io.EOF
			}
			if err != nil {
				return 0, err
			}
			w.message = message
		}
		n, err := w.message.Read(p)
		if err == io.EOF {
			w.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (w *webSocket) Write(p []byte) (int, error) {
	if err := w.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *webSocket) SetDeadline(t time.Time) error      { return w.socket.SetDeadline(t) }
func (w *webSocket) SetReadDeadline(t time.Time) error  { return w.socket.SetReadDeadline(t) }
func (w *webSocket) SetWriteDeadline(t time.Time) error { return w.socket.SetWriteDeadline(t) }

// bare is the connection below a WebSocket and TLS.
func bare(conn net.Conn) net.Conn {
	if w, ok := conn.(*webSocket); ok {
		return w.socket
	}
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}

// hangUp closes a connection at once, without the alert that TLS would still try
// to write for some seconds.
func hangUp(conn net.Conn) {
	_ = bare(conn).Close() // nobody is left to tell
}
