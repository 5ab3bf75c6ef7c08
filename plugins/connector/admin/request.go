package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// maxBody is large enough for a config of 4096 characters, each escaped, and the names.
const maxBody = 64 << 10

// fields reads body as one JSON object.
func fields(body []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, notJSON("Failed to parse the request body as JSON: %v at %s", err, place(body, int(syntax.Offset)))
		}
		return nil, notJSON("Failed to deserialize the JSON body into the target type: it must be an object")
	}
	return fields, nil
}

// lacking reports in RobustMQ's words which of the names body does not have.
func lacking(body []byte, given map[string]json.RawMessage, names ...string) error {
	for _, name := range names {
		if value := given[name]; value == nil || string(value) == "null" {
			// RobustMQ reports the missing name at the end of the object.
			return notJSON("Failed to deserialize the JSON body into the target type: missing field `%s` at %s",
				name, place(body, len(bytes.TrimRight(body, " \t\r\n"))))
		}
	}
	return nil
}

// place returns the position after the first n bytes.
func place(body []byte, n int) string {
	read := body[:min(n, len(body))]
	line := 1 + bytes.Count(read, []byte("\n"))
	return fmt.Sprintf("line %d column %d", line, len(read)-1-bytes.LastIndexByte(read, '\n'))
}

// readDefinition reads the body of create, update and check. The route's own options
// are removed from it first.
func readDefinition(body []byte, options map[string]*bool) (connector.Connector, error) {
	given, err := fields(body)
	if err != nil {
		return connector.Connector{}, err
	}
	described := body
	for name, into := range options {
		value, ok := given[name]
		if !ok {
			continue
		}
		if json.Unmarshal(value, into) != nil {
			return connector.Connector{}, invalid(name + " must be true or false")
		}
		described = without(described, name)
	}
	var kind string
	_ = json.Unmarshal(given["connector_type"], &kind) // Parse says what is wrong with it
	kind = strings.ToLower(kind)
	filter := "topic_name"
	if given[filter] == nil && given["topic_id"] != nil {
		filter = "topic_id"
	}
	needed := []string{"connector_name", "connector_type", "config", "failure_strategy", "tenant", filter}
	if kind == connector.TypeKafkaSource {
		needed = needed[:len(needed)-1] // its topic has a default
	}
	if err := lacking(body, given, needed...); err != nil {
		return connector.Connector{}, err
	}

	// Errors that RobustMQ has words for are reported with them, in RobustMQ's order.
	for _, limit := range []struct {
		field, called string
		most          int
	}{
		{"connector_name", "Connector name", connector.MaxName},
		{"config", "Config", connector.MaxConfig},
		{"tenant", "Tenant", 256},
		{filter, "Topic name", connector.MaxFilter},
	} {
		n, ok := length(given[limit.field])
		if ok && n == 0 && limit.field == filter && kind == connector.TypeKafkaSource {
			continue
		}
		if ok && (n < 1 || n > limit.most) {
			return connector.Connector{}, invalid(fmt.Sprintf("%s length must be between 1-%d", limit.called, limit.most))
		}
	}
	if kind != "" && !slices.Contains(connector.Types, kind) {
		return connector.Connector{}, invalid("Connector type must be kafka") // RobustMQ's words
	}

	c, err := connector.Parse(described)
	switch {
	case err == nil:
	case kind == connector.TypeKafkaSource: // RobustMQ has no words for it
		return connector.Connector{}, refused(err, nil)
	default:
		return connector.Connector{}, refused(err, given["config"])
	}
	return c, knownTenant(c.Tenant)
}

// without returns a JSON object without a member. Others are unchanged, even duplicate
// ones: Parse checks them.
func without(body []byte, name string) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	rest := []byte{'{'}
	_, _ = d.Token() // it was read as an object
	for d.More() {
		key, _ := d.Token() // as above
		var value json.RawMessage
		_ = d.Decode(&value) // as above
		if key == name {
			continue
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		quoted, _ := json.Marshal(key) // a string
		rest = append(append(append(rest, quoted...), ':'), value...)
	}
	return append(rest, '}')
}

// refused answers an error of Parse. Its text begins with the field.
func refused(err error, config json.RawMessage) error {
	if field, _, _ := strings.Cut(err.Error(), ":"); !isConfig(field) {
		return invalid(err.Error())
	}
	if words := kafkaWords(config); words != "" {
		return applied(words)
	}
	return applied(err.Error())
}

// name reads the body of delete, pause, resume and restart.
func name(body []byte) (string, error) {
	given, err := fields(body)
	if err != nil {
		return "", err
	}
	if err := lacking(body, given, "tenant", "connector_name"); err != nil {
		return "", err
	}
	var n Name
	for field, into := range map[string]*string{"tenant": &n.Tenant, "connector_name": &n.ConnectorName} {
		if json.Unmarshal(given[field], into) != nil {
			return "", notJSON("Failed to deserialize the JSON body into the target type: %s must be a string", field)
		}
	}
	if size := utf8.RuneCountInString(n.Tenant); size < 1 || size > 64 {
		return "", invalid("Tenant length must be between 1-64")
	}
	if size := utf8.RuneCountInString(n.ConnectorName); size < 1 || size > 256 {
		return "", invalid("Connector name length must be between 1-256")
	}
	return n.ConnectorName, knownTenant(n.Tenant)
}

// nameAnd reads a body that has other required fields beside a Name.
func nameAnd(body []byte, required ...string) (of string, given map[string]json.RawMessage, err error) {
	if of, err = name(body); err != nil {
		return "", nil, err
	}
	if given, err = fields(body); err != nil {
		return "", nil, err
	}
	return of, given, lacking(body, given, required...)
}

func knownTenant(tenant string) error {
	if tenant != connector.DefaultTenant {
		return invalid(fmt.Sprintf("tenant: %q does not exist: there is one, %s", tenant, connector.DefaultTenant))
	}
	return nil
}

// length counts the characters of a JSON string, as RobustMQ does.
func length(value json.RawMessage) (int, bool) {
	var s string
	if json.Unmarshal(value, &s) != nil {
		return 0, false
	}
	return utf8.RuneCountInString(s), true
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		// The client stopped in the middle or was too slow.
		return nil, notJSON("reading the request body: %v", err)
	}
	if err == nil {
		if err := connector.CheckDepth(body); err != nil {
			return nil, notJSON("Failed to parse the request body as JSON: %v", err)
		}
	}
	return body, err
}
