package connector

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// KeepSecrets returns c with each *** in its config replaced by the secret in stored.
// The error is an *InvalidError that names the field if stored has no secret there, as
// for a new definition, or if the secret would be sent elsewhere: a user who may change
// a connector must not learn its passwords by redirecting it to a server of their own.
func KeepSecrets(c, stored Connector) (Connector, error) {
	given, err := readValue(c.Config)
	if err != nil {
		return Connector{}, fmt.Errorf("config: %w", err)
	}
	before := &value{}
	if stored.Config != nil {
		if before, err = readValue(stored.Config); err != nil {
			return Connector{}, fmt.Errorf("reading the stored config: %w", err)
		}
	}
	kept := false
	err = unwrapped(given).walk(nil, func(path []string, scalar *value) error {
		if s, _ := scalar.text(); s != secret.Redacted || !secret.Is(path) {
			return nil
		}
		field := "config." + strings.Join(path, ".")
		old := unwrapped(before).at(path)
		if old == nil || old.open != 0 {
			return &InvalidError{field, "*** keeps a stored secret, and none is stored: give the secret itself"}
		}
		if changed := redirects(path, c, stored); changed != "" {
			return &InvalidError{field, fmt.Sprintf("*** keeps the stored secret only while it is sent to the same servers with the same login, and %s changes that: give the secret itself", changed)}
		}
		scalar.raw = old.raw
		kept = true
		return nil
	})
	if err != nil || !kept {
		return c, err
	}
	config, err := given.MarshalJSON()
	if err != nil {
		return Connector{}, err
	}
	c.Config = config
	return c, c.readConfig()
}

// redirects returns the field of is because of which a secret of was would be sent
// elsewhere, as another user, or with less protection, or "". The path is that of the
// secret in the config. A private key and its passphrase are never sent.
func redirects(path []string, is, was Connector) string {
	switch path[0] {
	case "password":
		switch {
		case !within(brokersOf(is), brokersOf(was)):
			return "config.urls"
		case is.MQTT.Text("username") != was.MQTT.Text("username"):
			return "config.username"
		case !sameTrust(is.MQTT, was.MQTT):
			return "config.mqtt_tls"
		}
	case "sasl":
		switch {
		case !within(serversIn(is.Kafka.BootstrapServers), kafkaOf(was)):
			return "config.bootstrap_servers"
		case !within(kafkaOf(is), kafkaOf(was)):
			return "failure_strategy.bootstrap_servers"
		case !sameTrust(is.Kafka.More, was.Kafka.More):
			return "config.tls"
		case !sameMechanism(path, is.Kafka.More.Get("sasl"), was.Kafka.More.Get("sasl")):
			return "config." + strings.Join(path[:len(path)-1], ".")
		}
	}
	return ""
}

func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

// brokersOf returns the brokers that get the MQTT password. Without urls it is the
// service's own, which has no name here.
func brokersOf(c Connector) []string {
	raw := c.MQTT.Get("urls")
	if raw == nil {
		return []string{"the service's own broker"}
	}
	var all []string
	if v, err := readValue(raw); err == nil { // Parse has read it
		_ = v.walk(nil, func(_ []string, scalar *value) error {
			text, _ := scalar.text()
			all = append(all, serversIn(text)...)
			return nil
		})
	}
	return all
}

// kafkaOf returns the servers that get the Kafka credentials, including those of dead
// letters.
func kafkaOf(c Connector) []string {
	all := serversIn(c.Kafka.BootstrapServers)
	if f := c.FailureStrategy; f != nil {
		all = append(all, serversIn(f.BootstrapServers)...)
	}
	return all
}

func serversIn(text string) []string {
	var all []string
	for _, one := range strings.Split(text, ",") {
		if one = strings.ToLower(strings.TrimSpace(one)); one != "" {
			all = append(all, one)
		}
	}
	return all
}

// sameTrust reports whether two sides use the same encryption and trust the same
// servers. Their own certificates do not matter.
func sameTrust(is, was Settings) bool {
	read := func(s Settings) map[string]any {
		var fields map[string]any
		_ = json.Unmarshal(s.Get("tls"), &fields) // a value that is not an object is refused by lint
		delete(fields, "client_certs")
		return fields
	}
	return reflect.DeepEqual(read(is), read(was))
}

// sameMechanism reports whether the entry of sasl at a path differs only in secrets:
// another mechanism may send a password in clear text.
func sameMechanism(path []string, is, was json.RawMessage) bool {
	read := func(raw json.RawMessage) (entry any) {
		_ = json.Unmarshal(RedactConfig(json.RawMessage(`{"sasl":`+string(raw)+`}`)), &entry)
		for _, step := range path[:min(2, len(path))] {
			switch inner := entry.(type) {
			case map[string]any:
				if step == "sasl" {
					entry = inner[step]
				}
			case []any:
				if i, err := strconv.Atoi(step); err == nil && i < len(inner) {
					entry = inner[i]
				}
			}
		}
		return entry
	}
	return reflect.DeepEqual(read(is), read(was))
}

// unwrapped returns the object inside {"Kafka":{…}}, or v.
func unwrapped(v *value) *value {
	if len(v.names) == 1 && strings.EqualFold(v.names[0], "kafka") {
		return v.items[0]
	}
	return v
}
