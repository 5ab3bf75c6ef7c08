// Package neterror makes equal network errors have equal texts.
package neterror

import "regexp"

// The text of a net.OpError names both ends of the connection, as in "read tcp
// 127.0.0.1:50518->127.0.0.1:9092: i/o timeout", and that of a failed deadline only our
// end. They are matched in the text, and not by type, because the resolver and others
// keep only the text of the wrapped error.
var (
	bothEnds = regexp.MustCompile(`\b((?:tcp|udp|ip|unix)[a-z0-9]* )[^\s>]+->`)
	ownEnd   = regexp.MustCompile(`\bset ((?:tcp|udp|ip)[0-9]?) \S+:`)
)

// WithoutLocalPort removes our own end of the connection from the text of err. Its port
// differs for each connection, so the same error would look new each time. The result
// still wraps err.
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
