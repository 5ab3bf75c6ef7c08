package admin

import (
	"regexp"

	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// An answer never repeats a secret of the request. The validation takes care not
// to quote one, but its words come from many places: the last look is here.

var userInfo = regexp.MustCompile(`(://)[^/?#\s"']*@`)

// withoutUserInfo hides the login in URLs.
func withoutUserInfo(text string) string { return userInfo.ReplaceAllString(text, "$1***@") }

// withoutSecrets hides in text the secrets that body, a request, holds. A text that
// quotes a value may have escaped it.
func withoutSecrets(text string, body []byte) string {
	return secret.Hider(secret.Texts(body)).Replace(text)
}
