// Package neterror makes one fault of the network have one text.
package neterror

import "regexp"

// The text of a net.OpError names both ends of the connection, as in
// "read tcp 127.0.0.1:50518->127.0.0.1:9092: i/o timeout", and that of a failed
// deadline our own end alone. They are found in the text, and not by type,
// because the resolver and others keep only the text of the error beneath.
var (
	bothEnds = regexp.MustCompile(`\b((?:tcp|udp|ip|unix)[a-z0-9]* )[^\s>]+->`)
	ownEnd   = regexp.MustCompile(`\bset ((?:tcp|udp|ip)[0-9]?) \S+:`)
)

// WithoutLocalPort leaves our own end of the connection out of the text of err.
// Its port is another one for each connection, so that the same fault would look
// like a new one each time. The error stays in the chain of the result.
func WithoutLocalPort(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	short := ownEnd.ReplaceAllString(bothEnds.ReplaceAllString(text, "$1"), "set $1:")
	if short == text {
		return err
	}
	return &shortError{short, err}
}

type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.err }
