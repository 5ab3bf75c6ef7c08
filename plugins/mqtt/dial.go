package mqtt

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/net/proxy"

	"github.com/robustmq/robustmq-connect/plugins/targets"
)

// DialFunc opens the connection that a URL names.
type DialFunc func(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error)

// DialTo returns a Dial that connects only to targets that the guard allows.
func DialTo(guard *targets.Guard) DialFunc { return dialer{guard}.dial }

// dialer connects to targets that its guard allows, through a proxy if the environment
// configures one. The guard does not check the proxy itself, which the operator chose.
type dialer struct{ targets *targets.Guard }

func (d dialer) dial(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	switch u.Scheme {
	case "tcp", "mqtt":
		return d.dialTCP(ctx, u.Host)
	case "ssl", "tls", "mqtts", "mqtt+ssl", "tcps":
		return d.dialTLS(ctx, u, conf)
	case "ws", "wss":
		return d.dialWebSocket(ctx, u, conf)
	case "unix":
		// unix://name is a path relative to the working directory.
		path := u.Host
		if path == "" {
			path = u.Path
		}
		if err := d.targets.Socket(path); err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return nil, fmt.Errorf("scheme %q is unknown", u.Scheme)
}

// dialTCP dials through the SOCKS proxy of ALL_PROXY, except for hosts in NO_PROXY.
func (d dialer) dialTCP(ctx context.Context, address string) (net.Conn, error) {
	var via proxy.ContextDialer = direct(d)
	if u, err := url.Parse(cmp.Or(os.Getenv("ALL_PROXY"), os.Getenv("all_proxy"))); err == nil && u.Host != "" {
		if socks, err := proxy.FromURL(u, &net.Dialer{}); err == nil {
			perHost := proxy.NewPerHost(judged{d.targets, socks}, direct(d))
			perHost.AddFromString(cmp.Or(os.Getenv("NO_PROXY"), os.Getenv("no_proxy")))
			via = perHost
		}
	}
	return via.DialContext(ctx, "tcp", address)
}

// direct dials targets that its guard allows.
type direct struct{ targets *targets.Guard }

func (d direct) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.targets.DialContext(ctx, net.Dialer{}, network, address)
}

func (d direct) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// judged dials through a proxy the targets that its guard allows. It passes the proxy
// the checked address: the proxy might resolve the name to another one.
type judged struct {
	targets *targets.Guard
	via     proxy.Dialer
}

func (j judged) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	all, err := j.targets.Resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	via, ok := j.via.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("dialling through the proxy of ALL_PROXY: it does not support deadlines")
	}
	for _, one := range all {
		var conn net.Conn
		if conn, err = via.DialContext(ctx, network, one); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (j judged) Dial(network, address string) (net.Conn, error) {
	return j.DialContext(context.Background(), network, address)
}

func (d dialer) dialTLS(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	conn, err := d.dialTCP(ctx, u.Host)
	if err != nil {
		return nil, err
	}
	if conf = conf.Clone(); conf.ServerName == "" {
		conf.ServerName = u.Hostname()
	}
	secure := tls.Client(conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is reported
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return secure, nil
}

func (d dialer) dialWebSocket(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	var socket *ownDeadlines
	bare := *u // the user info is for MQTT, not for HTTP
	bare.User = nil
	via, err := webProxy(&bare)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	guard := d.targets
	if via != nil {
		// The proxy is dialled, and it gets the address that was checked.
		guard = nil
		if conf, err = d.pin(ctx, &bare, header, conf); err != nil {
			return nil, err
		}
	}
	dialer := websocket.Dialer{
		Proxy:           func(*http.Request) (*url.URL, error) { return via, nil },
		TLSClientConfig: conf,
		Subprotocols:    []string{"mqtt"},
		ReadBufferSize:  largestReadBuffer,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := guard.DialContext(ctx, net.Dialer{}, network, address)
			if err != nil {
				return nil, err
			}
			socket = &ownDeadlines{Conn: conn}
			return socket, nil
		},
	}
	conn, response, err := dialer.DialContext(ctx, bare.String(), header)
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("%w: the server answered %s; check the path of the URL", err, response.Status)
		}
		return nil, err
	}
	socket.ours.Store(true)
	return &webSocket{Conn: conn, socket: socket.Conn}, nil
}

// webProxy returns the HTTP proxy that the environment configures for a WebSocket URL,
// or nil.
func webProxy(u *url.URL) (*url.URL, error) {
	asHTTP := *u
	asHTTP.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	return http.ProxyFromEnvironment(&http.Request{URL: &asHTTP})
}

// pin replaces the host in a URL by the address that the guard checked. The server
// still sees the host name.
func (d dialer) pin(ctx context.Context, u *url.URL, header http.Header, conf *tls.Config) (*tls.Config, error) {
	port := cmp.Or(u.Port(), map[string]string{"ws": "80", "wss": "443"}[u.Scheme])
	address := net.JoinHostPort(u.Hostname(), port)
	all, err := d.targets.Resolve(ctx, address)
	if err != nil || all[0] == address {
		return conf, err
	}
	if conf = conf.Clone(); conf.ServerName == "" {
		conf.ServerName = u.Hostname()
	}
	header.Set("Host", u.Host)
	u.Host = all[0]
	return conf, nil
}

// ownDeadlines is a connection whose deadlines the WebSocket library sets while it
// dials, and we set afterwards. The library keeps the write deadline in a plain field,
// which only the writing goroutine may set, and applies it to the connection before
// each write.
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

// webSocket is a byte stream over the binary messages of a WebSocket. One goroutine may
// read and one may write; any goroutine may set deadlines, which also end a read or
// write in progress.
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

// bare returns the connection below a WebSocket and TLS.
func bare(conn net.Conn) net.Conn {
	if w, ok := conn.(*webSocket); ok {
		return w.socket
	}
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}

// hangUp closes a connection at once, without the TLS alert, which could block for
// seconds.
func hangUp(conn net.Conn) {
	_ = bare(conn).Close() // nothing can be done about an error
}
