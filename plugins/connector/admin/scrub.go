package admin

import (
	"regexp"

	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// An answer never repeats a secret of the request. The validation avoids quoting one,
// but its texts come from many places, so they are checked here at the end.

var userInfo = regexp.MustCompile(`(://)[^/?#\s"']*@`)

// withoutUserInfo hides the login in URLs.
func withoutUserInfo(text string) string { return userInfo.ReplaceAllString(text, "$1***@") }

// withoutSecrets hides in text the secrets in body, a request. A text that quotes a
// value may have escaped it.
func withoutSecrets(text string, body []byte) string {
	return secret.Hider(secret.Texts(body)).Replace(text)
}
