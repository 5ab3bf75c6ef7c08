package mqtt

import (
	"context"
	"net/url"
)

// Gate watches over the sessions of the inputs of an environment, for a program that
// runs the pipelines of others. Its methods may be called from any goroutine. An
// error fails the attempt to connect, and is told like one of the broker.
type Gate interface {
	// Enter is called before a connection is made. It may use the client id at the
	// broker: nobody else does meanwhile.
	Enter(ctx context.Context, u *url.URL, clientID string, clean bool) error
	// Joined is called once the broker has let the input in, before it subscribes.
	// kept tells whether the broker had the session.
	Joined(u *url.URL, clientID string, kept bool) error
}

// open lets everyone in.
type open struct{}

func (open) Enter(context.Context, *url.URL, string, bool) error { return nil }
func (open) Joined(*url.URL, string, bool) error                 { return nil }
