// Package secret knows which values of a configuration must never be shown. It decides
// by the path of the field, and not by the value: a password may be a number. Answers,
// logs, exported pipelines and the command echo use it.
package secret

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Redacted replaces a secret wherever a definition is shown.
const Redacted = "***"

// fields are the secrets of the components and of a connector's config, whose mqtt_tls
// is the tls of its MQTT side. Everything below one is secret too. List indexes are
// omitted.
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

// Fields returns the paths of all secrets, without list indexes.
func Fields() []string { return slices.Clone(fields) }

// words are endings of field names that mark a secret even if no component has the
// field: for example because it is misspelt or misplaced.
var words = []string{"password", "passwd", "passphrase", "token", "secret", "private_key"}

// maxDepth is the depth to which a value is searched. No configuration is nested
// deeper, and the admin API refuses one that is.
const maxDepth = 32

// Is reports whether the value at a path is a secret. The path is relative to a config,
// or to the definition that has the config.
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

// Texts returns the secrets in a JSON value at a path, as they are written there: a
// number as its digits. It also searches JSON inside a text, which a config may be. A
// private key is a secret at any path.
func Texts(raw json.RawMessage, path ...string) []string {
	var f finder
	f.json(raw, path)
	return f.found
}

// Given returns the fields of a JSON value at a path that contain an actual secret and
// not ***, for example config.sasl.0.password.
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

// finder collects the secrets that it finds, and the field of each.
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

// walk may overwrite the memory behind path, which all levels share: a copy for each
// level would cost the square of the depth.
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

// shortest is the length below which a secret would match by chance in any sentence.
const shortest = 3

// Hider replaces secrets in a text by Redacted, including quoted ones.
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
	// If one form is a prefix of another, the longer one must be replaced.
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
