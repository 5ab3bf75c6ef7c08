package session

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Reserve subscribes the sessions of a side before a stream joins them: from then on,
// the first broker that answers keeps the messages that arrive. A clean side has
// nothing to keep.
func (o *Owner) Reserve(ctx context.Context, side Side) error {
	if side.Clean {
		return nil
	}
	var all []error
	for _, u := range side.URLs {
		err := o.reserve(ctx, side, u)
		if err == nil || ctx.Err() != nil {
			return err
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

func (o *Owner) reserve(ctx context.Context, side Side, u *url.URL) error {
	if err := o.Enter(ctx, u, side.ClientID, false); err != nil {
		return err
	}
	side.URLs = []*url.URL{u}
	var kept bool
	// The session is recorded before it is subscribed, as for a stream.
	kept, err := o.visit(ctx, side, false, nothing)
	if err != nil {
		return err
	}
	if err := o.Joined(u, side.ClientID, kept); err != nil {
		return err
	}
	return o.subscribe(ctx, side)
}

// subscribe subscribes to the filter at the first broker of a side, and leaves the
// session there.
func (o *Owner) subscribe(ctx context.Context, side Side) error {
	var token paho.Token
	_, err := o.visit(ctx, side, false, func(c paho.Client) paho.Token {
		token = c.Subscribe(side.Filter, side.QoS, nil)
		return token
	})
	if err == nil {
		err = subscribed(token, side.Filter)
	}
	if err != nil {
		return fmt.Errorf("subscribing the session %q: %w", side.ClientID, err)
	}
	return nil
}

// Silence unsubscribes a session of a side, so that it gets no new messages. It keeps
// those that it has.
func (o *Owner) Silence(ctx context.Context, side Side, endpoint string) error {
	side = side.At(endpoint)
	o.mu.Lock()
	rec := o.records[ID{endpoint, side.ClientID}]
	o.mu.Unlock()
	return o.unsubscribe(ctx, side, rec, "")
}
