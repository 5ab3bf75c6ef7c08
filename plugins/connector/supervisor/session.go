package supervisor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// session is a connector's session on the MQTT broker, looked after while no
// stream is connected to it. MQTT 3.1.1 does: the state that it clears is the
// same, and every broker speaks it.
type session struct {
	urls               []string
	clientID           string
	username, password string
	clean              bool // the broker keeps none
	tls                *tls.Config
}

// identity tells sessions apart: two connectors of one identity would throw each
// other off the broker.
func (s session) identity() string { return s.clientID + "\n" + strings.Join(s.urls, ",") }

// sessionOf reads settings of the input template that have a client_id.
func sessionOf(settings connector.Settings, files *secretFiles) (session, error) {
	s := session{clientID: settings.Text("client_id"), username: settings.Text("username"), password: settings.Text("password")}
	var urls []string
	if raw := settings.Get("urls"); raw != nil {
		if err := json.Unmarshal(raw, &urls); err != nil {
			return s, &connector.InvalidError{Field: "config.urls", Why: "it must be a list of strings"}
		}
	}
	for _, item := range urls {
		for _, one := range strings.Split(item, ",") {
			s.urls = append(s.urls, strings.TrimSpace(one))
		}
	}
	if raw := settings.Get("clean_session"); raw != nil {
		s.clean = string(raw) == "true"
	}
	var err error
	if s.tls, err = tlsOf(settings.Get("tls"), files); err != nil {
		return s, &connector.InvalidError{Field: "config.mqtt_tls", Why: err.Error()}
	}
	return s, nil
}

// tlsOf reads a tls field as the components do, nil where it is not enabled.
func tlsOf(raw json.RawMessage, files *secretFiles) (*tls.Config, error) {
	if raw == nil {
		return nil, nil
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, errors.New("it must be an object")
	}
	inline := func(fields map[string]any, from, to string) error {
		name, _ := fields[from].(string)
		if name == "" {
			return nil
		}
		file, err := files.Open(name)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		defer file.Close() //nolint:errcheck // it is only read
		text, err := io.ReadAll(io.LimitReader(file, 1<<20))
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		delete(fields, from)
		fields[to] = string(text)
		return nil
	}
	err := inline(fields, "root_cas_file", "root_cas")
	certs, _ := fields["client_certs"].([]any)
	for _, item := range certs {
		if cert, ok := item.(map[string]any); ok {
			err = errors.Join(err, inline(cert, "cert_file", "cert"), inline(cert, "key_file", "key"))
		}
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]any{"tls": fields})
	if err != nil {
		return nil, err
	}
	conf, err := service.NewConfigSpec().Field(service.NewTLSToggledField("tls")).ParseYAML(string(text), nil)
	if err != nil {
		return nil, err
	}
	parsed, _, err := conf.FieldTLSToggled("tls")
	return parsed, err
}

// forget makes the broker drop the session, with what it holds for it.
func (s session) forget(ctx context.Context) error {
	if s.clean {
		return nil
	}
	return s.visit(ctx, true, func(paho.Client) paho.Token { return nil })
}

// unsubscribe makes the broker send no more of some filters, and keeps the rest
// of the session.
func (s session) unsubscribe(ctx context.Context, filters []string) error {
	if s.clean || len(filters) == 0 {
		return nil
	}
	return s.visit(ctx, false, func(c paho.Client) paho.Token { return c.Unsubscribe(filters...) })
}

// visit connects under the connector's name, does something and says goodbye.
func (s session) visit(ctx context.Context, clean bool, do func(paho.Client) paho.Token) error {
	opts := paho.NewClientOptions().
		SetClientID(s.clientID).SetUsername(s.username).SetPassword(s.password).
		SetProtocolVersion(4).SetCleanSession(clean).
		SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false).
		// The broker may deliver what waits: it must not count as received.
		SetAutoAckDisabled(true).
		SetConnectTimeout(visitTimeout)
	if s.tls != nil {
		opts.SetTLSConfig(s.tls)
	}
	for _, u := range s.urls {
		if parsed, err := url.Parse(u); err == nil {
			opts.Servers = append(opts.Servers, parsed)
		}
	}
	client := paho.NewClient(opts)
	defer client.Disconnect(100)
	if err := wait(ctx, client.Connect()); err != nil {
		return fmt.Errorf("connecting to the MQTT broker as %q: %w", s.clientID, err)
	}
	if token := do(client); token != nil {
		if err := wait(ctx, token); err != nil {
			return fmt.Errorf("unsubscribing %q: %w", s.clientID, err)
		}
	}
	return nil
}

const visitTimeout = 5 * time.Second

func wait(ctx context.Context, token paho.Token) error {
	ctx, cancel := context.WithTimeout(ctx, 2*visitTimeout)
	defer cancel()
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}
