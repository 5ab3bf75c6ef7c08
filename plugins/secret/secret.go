// Package secret knows which values of a configuration must never be shown. It
// goes by the path of the field, and not by the value: a password may be a
// number. Answers, logs, exported pipelines and the command echo all ask it.
package secret

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Redacted stands for a secret wherever a definition is shown.
const Redacted = "***"

// fields are the secrets of the components and of a connector's config, whose
// mqtt_tls is the tls of its MQTT side. What is below one is secret too. Places in
// lists are left out.
var fields = []string{
	"password",
	"tls.client_certs.key",
	"tls.client_certs.password",
	"mqtt_tls.client_certs.key",
	"mqtt_tls.client_certs.password",
	"sasl.password",
	"sasl.token",
	"sasl.extensions",
	"sasl.aws.credentials.secret",
	"sasl.aws.credentials.token",
}

// Fields are the paths of all secrets, without places in lists.
func Fields() []string { return slices.Clone(fields) }

// words end the name of a field that no component has, and that holds a secret all
// the same: one that is misspelt, or stands in the wrong place.
var words = []string{"password", "passwd", "passphrase", "token", "secret", "private_key"}

// maxDepth is how deep a value is looked into. Nothing that is nested deeper is a
// configuration, and the admin API refuses it.
const maxDepth = 32

// Is tells whether the value that a path leads to is a secret. The path is that in
// a config, or in the description that holds the config.
func Is(path []string) bool {
	if len(path) > 0 && path[0] == "config" {
		path = path[1:]
	}
	if len(path) > 1 && strings.EqualFold(path[0], "kafka") {
		path = path[1:]
	}
	var names []string
	for _, step := range path {
		if _, err := strconv.Atoi(step); err != nil {
			names = append(names, strings.ToLower(step))
		}
	}
	field := strings.Join(names, ".")
	if slices.ContainsFunc(fields, func(known string) bool {
		return field == known || strings.HasPrefix(field, known+".")
	}) {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.HasSuffix(name, word) })
	}) || slices.Contains(names, "client_certs") && slices.Contains(names, "key")
}

// Texts are the secrets in a JSON value that stands at a path, as they are written
// there: a number has its digits. JSON inside of a text, which a config may be, is
// looked into, and a private key is a secret wherever it stands.
func Texts(raw json.RawMessage, path ...string) []string {
	var f finder
	f.json(raw, path)
	return f.found
}

// Given are the fields of a JSON value that stands at a path in which a secret itself is
// given, and not *** in its place, for example config.sasl.0.password.
func Given(raw json.RawMessage, path ...string) (fields []string) {
	var f finder
	f.json(raw, path)
	for i, text := range f.found {
		if text != "" && text != Redacted {
			fields = append(fields, f.fields[i])
		}
	}
	slices.Sort(fields)
	return fields
}

// finder keeps the secrets that it finds, and the field of each beside it.
type finder struct{ found, fields []string }

func (f *finder) json(raw []byte, path []string) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return false
	}
	f.walk(v, slices.Clone(path))
	return true
}

// walk may write behind the path, whose room the steps share: a copy for each
// level would be the square of the depth.
func (f *finder) walk(v any, path []string) {
	if len(path) > maxDepth {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			f.walk(inner, append(path, name))
		}
	case []any:
		for i, inner := range v {
			f.walk(inner, append(path, strconv.Itoa(i)))
		}
	case json.Number:
		f.add(v.String(), path)
	case string:
		if strings.HasPrefix(strings.TrimSpace(v), "{") && f.json([]byte(v), path) {
			return
		}
		f.add(v, path)
	}
}

func (f *finder) add(text string, path []string) {
	if strings.Contains(text, "PRIVATE KEY") || Is(path) {
		f.found, f.fields = append(f.found, text), append(f.fields, strings.Join(path, "."))
	}
}

// shortest is the length below which a secret is found by chance in any sentence.
const shortest = 3

// Hider replaces secrets in a text by Redacted, also where they are quoted.
func Hider(texts []string) *strings.Replacer {
	var forms []string
	for _, text := range texts {
		if len(text) < shortest {
			continue
		}
		quoted := strconv.Quote(text)
		escaped, _ := json.Marshal(text) // a text always marshals
		forms = append(forms, text, quoted[1:len(quoted)-1], string(escaped[1:len(escaped)-1]))
	}
	// Of two that begin alike the longer one is to be replaced.
	slices.SortFunc(forms, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	forms = slices.Compact(forms)
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, Redacted)
	}
	return strings.NewReplacer(pairs...)
}
