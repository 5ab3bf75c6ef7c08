package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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
	dialer := websocket.Dialer{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: conf,
		Subprotocols:    []string{"mqtt"},
		ReadBufferSize:  readBuffer,
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
	return &webSocket{Conn: conn}, nil
}

// webSocket is the stream of bytes in the binary messages of a WebSocket. One
// goroutine may read and one write.
type webSocket struct {
	*websocket.Conn
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

func (w *webSocket) SetDeadline(t time.Time) error {
	if err := w.SetReadDeadline(t); err != nil {
		return err
	}
	return w.SetWriteDeadline(t)
}

// hangUp closes a connection at once, without the alert that TLS would still try
// to write for some seconds.
func hangUp(conn net.Conn) {
	if w, ok := conn.(*webSocket); ok {
		conn = w.NetConn()
	}
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close() // nobody is left to tell
}
