package connector

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/robustmq/robustmq-connect/plugins/robustmq"
)

// reader reads the fields of one JSON object by name and keeps the first error. done
// returns it, or an error for fields that were not read.
type reader struct {
	path   string // where the object stands, for errors
	fields map[string]json.RawMessage
	known  []string
	err    error
}

func (r *reader) fail(name, format string, args ...any) {
	if r.err != nil {
		return
	}
	if r.path != "" {
		name = r.path + "." + name
	}
	r.err = fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
}

// raw returns nil if the field is null or missing: RobustMQ writes either.
func (r *reader) raw(name string) json.RawMessage {
	if !slices.Contains(r.known, name) {
		r.known = append(r.known, name)
	}
	value := r.fields[name]
	if string(value) == "null" {
		return nil
	}
	return value
}

func (r *reader) optionalString(name string, most int) *string {
	raw := r.raw(name)
	if raw == nil {
		return nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		r.fail(name, "%s: it must be a string", kind(raw))
		return nil
	}
	if n := utf8.RuneCountInString(s); most > 0 && n > most {
		r.fail(name, "%d characters long: at most %d are allowed", n, most)
		return nil
	}
	return &s
}

func (r *reader) optionalText(name string) string {
	return or(r.optionalString(name, 0), "")
}

// text reads a required string; most 0 means no limit.
func (r *reader) text(name string, least, most int) string {
	s := r.optionalString(name, most)
	switch {
	case r.err != nil:
		return ""
	case s == nil:
		r.fail(name, "missing: it must be given")
		return ""
	case utf8.RuneCountInString(*s) < least:
		r.fail(name, "empty: it must not be")
		return ""
	}
	return *s
}

// optionalLiteral reads a string for a field of the pipeline. RobustMQ uses it
// unchanged; a pipeline would read ${ as the start of a variable or an interpolation
// and send something else.
func (r *reader) optionalLiteral(name string, most int) *string {
	s := r.optionalString(name, most)
	if s != nil && strings.Contains(*s, "${") {
		r.fail(name, "%q holds ${, which a pipeline would replace: use a value without it", *s)
		return nil
	}
	return s
}

// optionalInterpolated reads a string that may have interpolations, ${! … }, which are
// evaluated on each message, but no environment variable.
func (r *reader) optionalInterpolated(name string, most int) *string {
	s := r.optionalString(name, most)
	if s != nil && strings.Contains(strings.ReplaceAll(*s, "${!", ""), "${") {
		r.fail(name, "%q holds ${, which a pipeline would replace: use a value without it, or an interpolation, ${! … }", *s)
		return nil
	}
	return s
}

// textField reads a field of RobustMQ that is a text or one of some words.
func (r *reader) textField(name string) *string {
	f := robustmq.FieldOf(name)
	var s *string
	switch {
	case len(f.Words) > 0:
		s = r.optionalWord(name, f.Words...)
	case f.Interpolated:
		s = r.optionalInterpolated(name, f.MaxLength)
	default:
		s = r.optionalLiteral(name, f.MaxLength)
	}
	if f.Required && r.err == nil {
		_ = r.text(name, 1, f.MaxLength)
	}
	return s
}

// numberField reads a field of RobustMQ that is a number.
func (r *reader) numberField(name string) *int {
	f := robustmq.FieldOf(name)
	return r.optionalInt(name, f.Min, f.Max)
}

func (r *reader) literal(name string, most int) string {
	if _ = r.optionalLiteral(name, most); r.err != nil {
		return ""
	}
	return r.text(name, 1, most)
}

func (r *reader) optionalWord(name string, words ...string) *string {
	s := r.optionalString(name, 0)
	if s != nil && !slices.Contains(words, *s) {
		r.fail(name, "%q is not one of %s", *s, strings.Join(words, ", "))
		return nil
	}
	return s
}

func (r *reader) word(name string, words ...string) string {
	s := r.optionalWord(name, words...)
	if s == nil {
		r.fail(name, "missing: it must be one of %s", strings.Join(words, ", "))
		return ""
	}
	return *s
}

func (r *reader) optionalInt(name string, least, most int) *int {
	raw := r.raw(name)
	if raw == nil {
		return nil
	}
	if k := kind(raw); k != "a number" {
		r.fail(name, "%s: it must be a number", k)
		return nil
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil {
		r.fail(name, "%s: it must be a whole number from %d to %d", raw, least, most)
		return nil
	}
	if n < least || n > most {
		r.fail(name, "%d is out of range: it must be from %d to %d", n, least, most)
		return nil
	}
	return &n
}

func (r *reader) textOrNumber(name string) string {
	raw := r.raw(name)
	switch {
	case raw == nil:
		return ""
	case raw[0] == '"':
		return r.optionalText(name)
	case kind(raw) == "a number":
		return string(raw)
	}
	r.fail(name, "%s: it must be a string or a number", kind(raw))
	return ""
}

// done returns the first error. An unknown field is an error: it may be a misspelt one,
// which would otherwise be ignored silently.
func (r *reader) done() error {
	if r.err != nil {
		return r.err
	}
	var unknown []string
	for name := range r.fields {
		if !slices.Contains(r.known, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	at := ""
	if r.path != "" {
		at = r.path + ": "
	}
	return fmt.Errorf("%sunknown field %q: the fields are %s", at, unknown[0], strings.Join(r.known, ", "))
}

func kind(raw []byte) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
