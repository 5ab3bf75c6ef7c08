package mqtt

import (
	"context"
	"net/url"

	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// Option changes what the components do in one environment. A configuration cannot
// change it.
type Option func(*connection)

// DialBy makes the components open connections with another function than Dial.
func DialBy(dial DialFunc) Option { return func(c *connection) { c.dial = dial } }

// GatedBy makes every connection of the components pass a gate.
func GatedBy(gate Gate) Option { return func(c *connection) { c.gate = gate } }

// LettersBy gives the output that writes dead letters to Kafka these options.
func LettersBy(opts ...kafka.Option) Option { return func(c *connection) { c.letters = opts } }

// Gate supervises the sessions of the components of an environment, for a program that runs
// pipelines of others. Any goroutine may call its methods. An error fails the attempt
// to connect and is reported like an error of the broker.
type Gate interface {
	// Enter is called before a connection is made. It may use the client id at the
	// broker: nobody else does at that time.
	Enter(ctx context.Context, u *url.URL, clientID string, clean bool) error
	// Joined is called when the broker has accepted the connection, before the
	// component uses it. kept reports whether the broker had the session.
	Joined(u *url.URL, clientID string, kept bool) error
}

// open is the gate that allows every connection.
type open struct{}

func (open) Enter(context.Context, *url.URL, string, bool) error { return nil }
func (open) Joined(*url.URL, string, bool) error                 { return nil }
