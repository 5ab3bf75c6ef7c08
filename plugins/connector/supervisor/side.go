package supervisor

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
)

// sideOf returns the MQTT side of a definition as it runs.
func (s *Supervisor) sideOf(c connector.Connector) (session.Side, error) {
	runs := s.effective(c)
	settings := runs.MQTT
	if c.IsSource() {
		settings = settings.With(connector.Settings{{Name: "clean_session", Value: json.RawMessage("true")}})
	}
	side := session.Side{
		Member: c.Member, ClientID: settings.Text("client_id"), Username: settings.Text("username"), Password: settings.Text("password"),
		Filter: runs.TopicID, QoS: 1,
		Clean: string(settings.Get("clean_session")) == "true",
	}
	var urls []string
	if raw := settings.Get("urls"); raw != nil {
		if err := json.Unmarshal(raw, &urls); err != nil {
			return side, &connector.InvalidError{Field: "config.urls", Why: "it must be a list of strings"}
		}
	}
	side.URLs = session.ParseURLs(urls)
	if raw := settings.Get("qos"); raw != nil {
		if err := json.Unmarshal(raw, &side.QoS); err != nil {
			return side, &connector.InvalidError{Field: "config.qos", Why: "it must be 0, 1 or 2"}
		}
	}
	var err error
	if side.TLS, err = tlsOf(settings.Get("tls"), s.files); err != nil {
		return side, &connector.InvalidError{Field: "config.mqtt_tls", Why: err.Error()}
	}
	side.Renew = func(old session.Side) session.Side {
		if now, err := s.sideOf(c); err == nil {
			old.Username, old.Password, old.TLS = now.Username, now.Password, now.TLS
		}
		return old
	}
	return side, nil
}

// tlsOf reads a tls field as the components do; nil if it is not enabled.
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
