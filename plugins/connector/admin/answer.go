package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// RobustMQ sends this content type for JSON too.
const contentType = "text/plain; charset=utf-8"

// failure is a negative answer. Its text may be sent unchanged.
type failure struct {
	status int
	text   string
	plain  bool // no envelope: what RobustMQ does with a bad query string
	// revision is that of the connector, if the request expects another one.
	revision int
}

func (f *failure) Error() string { return f.text }

// applied is an application error, which RobustMQ answers with HTTP 200.
func applied(text string) *failure { return &failure{status: http.StatusOK, text: text} }

func notJSON(format string, args ...any) *failure {
	return &failure{status: http.StatusBadRequest, text: "JSON parsing failed: " + fmt.Sprintf(format, args...)}
}

func invalid(text string) *failure {
	return &failure{status: http.StatusBadRequest, text: "Parameter validation failed: " + text}
}

func badQuery(format string, args ...any) *failure {
	return &failure{
		status: http.StatusBadRequest, plain: true,
		text: "Failed to deserialize query string: " + fmt.Sprintf(format, args...),
	}
}

// failed turns a handler's error into an answer. RobustMQ refuses an invalid body with
// HTTP 400, and a valid request that cannot be fulfilled with HTTP 200 and code 100;
// wrong settings of the other system belong to the latter.
func failed(name string, err error) *failure {
	var f *failure
	var field *connector.InvalidError
	var mismatch *connector.MismatchError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &mismatch):
		return &failure{status: http.StatusPreconditionFailed, text: err.Error(), revision: mismatch.Revision}
	case errors.Is(err, connector.ErrNotFound):
		return applied("Connector " + name + " does not exist.")
	case errors.Is(err, connector.ErrExists):
		return applied("Connector [" + name + "] already exist")
	case errors.Is(err, connector.ErrPaused):
		return applied("Connector " + name + " is paused: resume it.")
	case errors.As(err, &field):
		if isConfig(field.Field) {
			return applied(err.Error())
		}
		return invalid(err.Error())
	case errors.As(err, &tooLarge):
		return &failure{
			status: http.StatusRequestEntityTooLarge,
			text:   fmt.Sprintf("the body is longer than %d bytes: it is not a connector", tooLarge.Limit),
		}
	case errors.Is(err, context.Canceled):
		return &failure{status: http.StatusServiceUnavailable, text: "the service is stopping, and this may be unfinished: " + err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{status: http.StatusGatewayTimeout, text: "this took too long and may be unfinished: " + err.Error()}
	}
	return &failure{status: http.StatusInternalServerError, text: err.Error()}
}

func isConfig(field string) bool { return field == "config" || strings.HasPrefix(field, "config.") }

// write sends an answer.
func write(w http.ResponseWriter, status int, answer any) {
	var b bytes.Buffer
	if text, plain := answer.(string); plain {
		b.WriteString(text)
	} else {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		// These are only strings, numbers and lists of them, so encoding cannot fail.
		_ = e.Encode(answer)
		b.Truncate(b.Len() - 1) // the encoder's newline, which RobustMQ does not send
	}
	send(w, status, contentType, b.Bytes())
}

// send sends a complete answer.
func send(w http.ResponseWriter, status int, media string, body []byte) {
	setHeaders(w.Header(), media)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody is left to tell
}

// setHeaders prevents caching of an answer, and its use in pages of other origins.
func setHeaders(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Server", ServerName)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func writeFailure(w http.ResponseWriter, f *failure) {
	text := withoutUserInfo(f.text)
	setRevision(w, f.revision)
	switch {
	case f.status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case f.plain:
		write(w, f.status, text)
		return
	}
	write(w, f.status, Answer[string]{Code: CodeError, Error: &text})
}
