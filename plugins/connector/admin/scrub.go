package admin

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// An answer never repeats a secret of the request. The validation takes care not
// to quote one, but its words come from many places: the last look is here.

var userInfo = regexp.MustCompile(`(://)[^/?#\s"']*@`)

// withoutUserInfo hides the login in URLs.
func withoutUserInfo(text string) string { return userInfo.ReplaceAllString(text, "$1***@") }

// withoutSecrets hides in text the secrets that body, a request, holds.
func withoutSecrets(text string, body []byte) string {
	var value any
	if json.Unmarshal(body, &value) != nil {
		return text
	}
	for _, secret := range secrets(value, nil) {
		// A text that quotes a value may have escaped it. What is shorter than this is
		// found by chance in any sentence, and is no secret.
		if len(secret) < 3 {
			continue
		}
		quoted := strconv.Quote(secret)
		escaped, _ := json.Marshal(secret)
		for _, form := range []string{secret, quoted[1 : len(quoted)-1], string(escaped[1 : len(escaped)-1])} {
			text = strings.ReplaceAll(text, form, "***")
		}
	}
	return text
}

// secrets collects the texts that connector.IsSecret knows by their path, and
// every private key.
func secrets(value any, path []string) (found []string) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			found = append(found, secrets(inner, append(path[:len(path):len(path)], name))...)
		}
	case []any:
		for _, inner := range v {
			found = append(found, secrets(inner, path)...)
		}
	case string:
		// The config of a connector is JSON inside a string.
		var inner any
		if strings.HasPrefix(strings.TrimSpace(v), "{") && json.Unmarshal([]byte(v), &inner) == nil {
			return secrets(inner, path)
		}
		if connector.IsSecret(path) || strings.Contains(v, "PRIVATE KEY") {
			return []string{v}
		}
	}
	return found
}
