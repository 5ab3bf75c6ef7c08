package admin

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// checkSecrets refuses a body in which somebody sets a secret who may not. It looks at
// the config of every definition in the body, whatever the route is, so that no route
// can forget it. A sample message is no definition, and may hold what it likes.
func checkSecrets(body []byte, who caller) *failure {
	if who.role >= administrator {
		return nil
	}
	for _, config := range configsIn(body) {
		if fields := secret.Given(config, "config"); len(fields) > 0 {
			return forbidden("%s: secrets are set by the role %s, and %q has the role %s: send %s to keep the stored secret",
				fields[0], administrator, who.name, who.role, secret.Redacted)
		}
	}
	return nil
}

// configsIn are the members named config of an object and of those in it, also where
// one name is given twice. What is no JSON has none; the route refuses it.
func configsIn(raw json.RawMessage) (configs []json.RawMessage) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '{' && raw[0] != '[' {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	_, _ = d.Token() // it opens what was looked at
	for d.More() {
		name := ""
		if raw[0] == '{' {
			token, err := d.Token()
			if err != nil {
				return configs
			}
			name, _ = token.(string) // the name of a member is one
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return configs
		}
		if strings.EqualFold(name, "config") { // as the decoder of a body takes it
			configs = append(configs, value)
			continue
		}
		configs = append(configs, configsIn(value)...)
	}
	return configs
}
