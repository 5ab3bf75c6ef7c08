package mqtt

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
)

// Dial opens a connection to the broker of a URL, as the input does. The scheme is tcp,
// ssl, ws, wss or one of their aliases. One goroutine may read and one may write.
func Dial(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	return dialer{}.dial(ctx, u, conf)
}

// ReasonError returns the error for an MQTT 5 reason code of a broker, with the
// broker's own text ("" for none) and, where it is known, what to do about it.
func ReasonError(code byte, text string) error {
	return &reasonError{code: code, text: text}
}

// ConnectError is ReasonError for a refused CONNECT.
func ConnectError(code byte, text string) error {
	return &reasonError{code: code, text: text, connect: true}
}

// ReturnCodeError is ConnectError for a CONNACK of MQTT 3.1.1, which has its own numbers
// for the same reasons.
func ReturnCodeError(code byte) error {
	return ConnectError(oldReasons[code], "")
}
