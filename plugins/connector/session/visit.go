package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/robustmq/robustmq-connect/plugins/mqtt"
)

// Dial opens a connection to the broker of a URL.
type Dial func(ctx context.Context, u *url.URL, conf *tls.Config) (net.Conn, error)

// visitTimeout is how long a broker may take to accept the connection and to do the
// request.
const visitTimeout = 5 * time.Second

// visit connects to the first URL of the side with its client id, while no stream does,
// calls do and disconnects. kept reports whether the broker had the session. It uses
// MQTT 3.1.1: the session is the same, and every broker speaks it.
func (o *Owner) visit(ctx context.Context, side Side, clean bool, do func(paho.Client) paho.Token) (kept bool, err error) {
	side = side.renewed()
	u := side.URLs[0]
	opts := paho.NewClientOptions().
		SetClientID(side.ClientID).SetUsername(side.Username).SetPassword(side.Password).
		SetProtocolVersion(4).SetCleanSession(clean).
		SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false).
		SetConnectTimeout(visitTimeout)
	opts.Servers = []*url.URL{u}
	opts.SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (conn net.Conn, err error) {
		// Paho calls this in its own goroutine.
		defer o.guard(side).Catch("the dialer", func(panicked error) { err = panicked })
		ctx, cancel := context.WithTimeout(ctx, visitTimeout)
		defer cancel()
		conf := side.TLS
		if conf == nil {
			conf = &tls.Config{}
		}
		if conn, err = o.dial(ctx, u, conf); err != nil {
			return nil, err
		}
		// The messages that wait in the session are not acknowledged: they stay there.
		return mqtt.AnswersOnly(conn), nil
	})
	client := paho.NewClient(opts)
	defer client.Disconnect(100)
	token := client.Connect()
	if err := wait(ctx, token, farewell); err != nil {
		return false, fmt.Errorf("connecting to %s as %q: %w", u.Redacted(), side.ClientID, err)
	}
	if connected, ok := token.(*paho.ConnectToken); ok {
		kept = connected.SessionPresent()
	}
	if token := do(client); token != nil {
		if err := wait(ctx, token, 0); err != nil {
			return kept, fmt.Errorf("asking %s as %q: %w", u.Redacted(), side.ClientID, err)
		}
	}
	return kept, nil
}

func nothing(paho.Client) paho.Token { return nil }

// farewell is how long a broker may still answer CONNECT when the visit is cancelled:
// otherwise it would be unknown whether it had the session.
const farewell = time.Second

func wait(ctx context.Context, token paho.Token, farewell time.Duration) error {
	timeout := time.NewTimer(2 * visitTimeout)
	defer timeout.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-timeout.C:
		return errors.New("the broker does not answer")
	case <-ctx.Done():
	}
	if token.WaitTimeout(farewell) {
		return token.Error()
	}
	return ctx.Err()
}

// subscribed returns an error if the broker refused a subscription, which paho does not
// report as an error.
func subscribed(token paho.Token, filter string) error {
	if t, ok := token.(*paho.SubscribeToken); ok && t.Result()[filter] >= 0x80 {
		return fmt.Errorf("the broker refuses the subscription to %q", filter)
	}
	return nil
}
