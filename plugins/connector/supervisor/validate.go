package supervisor

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// effective returns c with the MQTT side that runs: the service's settings, overridden
// by c's own. The service's login is only for the service's broker: a definition that
// names another broker, or another login, does not get it.
func (s *Supervisor) effective(c connector.Connector) connector.Connector {
	base := s.base()
	if c.MQTT.Get("urls") != nil {
		base = base.Without("urls", "username", "password", "tls")
	}
	// Neither does it get the service's TLS settings: with those of a definition, which
	// may trust anybody, the login would be sent to any server that answers.
	if c.MQTT.Get("username") != nil || c.MQTT.Get("tls") != nil {
		base = base.Without("username", "password")
	}
	id, _ := json.Marshal(connector.ClientID(s.opts.ClientIDPrefix, connector.DefaultTenant, c.Name)) // a string
	base = append(base.Without("client_id"), connector.Setting{Name: "client_id", Value: id})
	// An empty client id counts as none. A value that is not a text stays, so that lint
	// refuses it.
	if id := string(c.MQTT.Get("client_id")); id == `""` || id == "null" {
		c.MQTT = c.MQTT.Without("client_id")
	}
	c.MQTT = base.With(c.MQTT)
	if c.IsSource() {
		c.MQTT = connector.PublishingSettings(c.MQTT)
	}
	return s.buffered(c).Shared(connector.ClientID(s.opts.ClientIDPrefix, connector.DefaultTenant, c.Name))
}

// validate checks what would run. The notes say what in the definition is ignored and
// where it lets messages be lost, repeated or reordered. The sides are those of the members.
// The error is an *InvalidError.
func (s *Supervisor) validate(c connector.Connector) (sides []session.Side, notes []string, err error) {
	if c.Tenant != "" && c.Tenant != connector.DefaultTenant {
		return nil, nil, &connector.InvalidError{Field: "tenant", Why: fmt.Sprintf("%q does not exist: there is one, %s", c.Tenant, connector.DefaultTenant)}
	}
	for _, part := range []struct {
		settings connector.Settings
		prefix   string
	}{{c.MQTT, "mqtt_"}, {c.Kafka.More, ""}} {
		for _, setting := range part.settings {
			if err := s.contained(setting, part.prefix); err != nil {
				return nil, nil, err
			}
		}
	}

	if err := s.checkTargets(c); err != nil {
		return nil, nil, err
	}
	if err := checkExpressions(c); err != nil {
		return nil, nil, err
	}
	if err := s.checkBuffer(c); err != nil {
		return nil, nil, err
	}

	given := c
	c = s.effective(c)
	document, notes := connector.Pipeline(c)
	hide := hiding(c.MQTT, c.Kafka.More)
	acksToldAbove := slices.ContainsFunc(notes, func(note string) bool { return strings.HasPrefix(note, "acks ") })
	for _, finding := range s.linter.YAML(string(document), false) {
		err := invalid(finding, c.IsSource())
		err.Why = hide.Replace(err.Why)
		switch {
		case !finding.Warning:
			return nil, nil, err
		case finding.Field != "acks" || !acksToldAbove:
			notes = append(notes, err.Error())
		}
	}
	for _, f := range expressionsOf(c) {
		// Lint parses mappings, and this field becomes one.
		if err := s.mappings.CheckInterpolatedString(f.text); err != nil {
			return nil, nil, &connector.InvalidError{Field: f.name, Why: lint.OneLine(err.Error())}
		}
	}
	if _, err := tlsOf(c.Kafka.More.Get("tls"), s.files); err != nil {
		return nil, nil, &connector.InvalidError{Field: "config.tls", Why: hide.Replace(err.Error())}
	}
	if given.Members() > 1 {
		notes = append(notes, sharingNote)
	}
	sides, err = s.sidesOf(given)
	return sides, notes, err
}

// sharingNote says what several members cost.
const sharingNote = "parallelism: the broker deals messages out to the members, also those of one topic unless it is told otherwise, so that they may overtake each other"

// sidesOf returns the MQTT sides of the members of a definition.
func (s *Supervisor) sidesOf(c connector.Connector) ([]session.Side, error) {
	sides := make([]session.Side, c.Members())
	for i := range sides {
		var err error
		if sides[i], err = s.sideOf(c.WithMember(i)); err != nil {
			return nil, err
		}
	}
	return sides, nil
}

// invalid turns a lint finding in a connector's pipeline into an error about the
// definition's field.
func invalid(f lint.Finding, source bool) *connector.InvalidError {
	name, _, _ := strings.Cut(f.Field, ".")
	input := len(f.Path) > 0 && f.Path[0] == "input"
	mqtt := input != source
	field := "config." + f.Field
	switch {
	case name == "" || name == "label":
		field = "config"
	case input && name == "topic_id":
		field = "topic_name"
	case name == "failure_strategy":
		field = f.Field
	case name == "dead_letter_kafka":
		field = "config." + strings.TrimPrefix(f.Field, name+".")
	case source && mqtt && name == "topic":
		field = "topic_name"
	case mqtt && name == "tls":
		field = "config.mqtt_" + f.Field
	}
	return &connector.InvalidError{Field: field, Why: f.What}
}

// checkTargets checks the brokers of a definition as they would be dialled: each item
// may have several, with white space and in any case.
func (s *Supervisor) checkTargets(c connector.Connector) error {
	for i, item := range urlsOf(c.MQTT) {
		at := slices.IndexFunc(item, func(u *url.URL) bool { return u.Scheme == "unix" })
		if at >= 0 {
			return &connector.InvalidError{Field: "config.urls." + strconv.Itoa(i), Why: fmt.Sprintf("%q is a socket of the machine that the service runs on: only the service's own --mqtt-url may be one", item[at])}
		}
	}
	base := s.base()
	if c.MQTT.Get("tls") != nil && c.MQTT.Get("urls") == nil && c.MQTT.Get("username") == nil && base.Get("username") != nil {
		return &connector.InvalidError{Field: "config.mqtt_tls", Why: "it needs urls or username too: the service sends its own login only with its own TLS settings; " +
			"give username and password too, or remove it"}
	}
	return nil
}

// contained refuses settings that would access the host that the service runs on.
func (s *Supervisor) contained(setting connector.Setting, prefix string) error {
	var v any
	if err := json.Unmarshal(setting.Value, &v); err != nil {
		return &connector.InvalidError{Field: "config." + setting.Name, Why: err.Error()}
	}
	path := setting.Name
	if path == "tls" {
		path = prefix + path
	}
	return s.containedValue("config."+path, setting.Name, v)
}

func (s *Supervisor) containedValue(path, name string, v any) error {
	switch v := v.(type) {
	case string:
		switch {
		case v == "":
		case isFileField(name):
			if _, err := s.files.Stat(v); err != nil {
				return &connector.InvalidError{Field: path, Why: err.Error()}
			}
		}
	case []any:
		for i, item := range v {
			if err := s.containedValue(path+"."+strconv.Itoa(i), name, item); err != nil {
				return err
			}
		}
	case map[string]any:
		if mechanism, _ := v["mechanism"].(string); strings.EqualFold(mechanism, "AWS_MSK_IAM") && !hasAWSKeys(v) {
			return &connector.InvalidError{Field: path + ".aws.credentials", Why: "id and secret must be given: the service's own are not for its connectors"}
		}
		if mechanism, _ := v["mechanism"].(string); strings.EqualFold(mechanism, "GSSAPI") && !hasKerberosFile(v) {
			return &connector.InvalidError{Field: path + ".kerberos.config_file", Why: "it must be given, as a file in --secrets-dir: the machine's own configuration of Kerberos is not for connectors"}
		}
		for _, inner := range sortedKeys(v) {
			if err := s.containedValue(path+"."+inner, inner, v[inner]); err != nil {
				return err
			}
		}
	}
	return nil
}

// isFileField reports whether a field of tls or sasl names a file.
func isFileField(name string) bool {
	return strings.HasSuffix(name, "_file") || strings.HasSuffix(name, "_path") || name == "keytab" || name == "file"
}

func hasAWSKeys(mechanism map[string]any) bool {
	aws, _ := mechanism["aws"].(map[string]any)
	keys, _ := aws["credentials"].(map[string]any)
	id, _ := keys["id"].(string)
	secret, _ := keys["secret"].(string)
	return id != "" && secret != ""
}

func hasKerberosFile(mechanism map[string]any) bool {
	kerberos, _ := mechanism["kerberos"].(map[string]any)
	file, _ := kerberos["config_file"].(string)
	return file != ""
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
