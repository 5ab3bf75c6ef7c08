package mqtt

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
)

// Dial opens the connection that a broker's URL names, as the input does: tcp,
// ssl, ws, wss and their other names. One goroutine may read and one write.
func Dial(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error) {
	return dialer{}.dial(ctx, u, conf)
}

// ReasonError is a reason code of MQTT 5 by which a broker said no, with its own
// words, or "", and what to do about it where that is known.
func ReasonError(code byte, text string) error {
	return &reasonError{code: code, text: text}
}

// ReturnCodeError is ReasonError for a CONNACK of MQTT 3.1.1, whose codes 1 to 5
// mean the same by other numbers.
func ReturnCodeError(code byte) error {
	return &reasonError{code: oldReasons[code]}
}
