package expression

import (
	"bytes"
	"encoding/ascii85"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

// limited are our versions of upstream's methods. replace_all, join and format check
// the length of their result before they build it; the others multiply by a small
// factor, and their result is checked. contains is replaced because of its time:
// upstream's copies the value for each item of the list.
var limited = map[string]limitedMethod{
	"contains":             {params: []bloblang.ParamDefinition{bloblang.NewAnyParam("value")}, make: contains},
	"decode":               {params: texts("scheme"), make: decode},
	"encode":               {params: texts("scheme"), make: encode},
	"escape_url_path":      {make: ofText(url.PathEscape)},
	"escape_url_query":     {make: ofText(url.QueryEscape)},
	"format":               {variadic: true, make: format},
	"join":                 {params: []bloblang.ParamDefinition{bloblang.NewStringParam("delimiter").Default("")}, make: join},
	"re_find_all":          {params: texts("pattern"), make: ofPattern(findAll)},
	"re_find_all_submatch": {params: texts("pattern"), make: ofPattern(findAllSubmatch)},
	"re_find_object":       {params: texts("pattern"), make: ofPattern(findObject)},
	"re_match":             {params: texts("pattern"), make: ofPattern(match)},
	"re_replace_all":       {params: texts("pattern", "value"), make: ofPattern(replaceMatches)},
	"replace_all":          {params: texts("old", "new"), make: replaceAll},
	"string":               {make: toString},
	"ts_format":            {params: []bloblang.ParamDefinition{bloblang.NewStringParam("format").Default(time.RFC3339Nano)}, make: formatTime},
}

func texts(names ...string) (params []bloblang.ParamDefinition) {
	for _, name := range names {
		params = append(params, bloblang.NewStringParam(name))
	}
	return params
}

// textOf returns an argument that Bloblang has checked to be a text.
func textOf(arg any) string {
	switch arg := arg.(type) {
	case string:
		return arg
	case []byte:
		return string(arg)
	}
	return ""
}

func ofText(do func(string) string) func([]any) (bloblang.Method, error) {
	return func([]any) (bloblang.Method, error) {
		return bloblang.StringMethod(func(s string) (any, error) { return do(s), nil }), nil
	}
}

// ofTextOrBytes returns bytes for bytes and text for text, as upstream does.
func ofTextOrBytes(do func(string) (string, error)) bloblang.Method {
	text := bloblang.StringMethod(func(s string) (any, error) { return do(s) })
	return func(v any) (any, error) {
		b, ok := v.([]byte)
		if !ok {
			return text(v)
		}
		s, err := do(string(b))
		if err != nil {
			return nil, err
		}
		return []byte(s), nil
	}
}

func toString([]any) (bloblang.Method, error) {
	return func(v any) (any, error) { return bloblang.ValueToString(v), nil }, nil
}

func replaceAll(args []any) (bloblang.Method, error) {
	from, to := textOf(args[0]), textOf(args[1])
	return ofTextOrBytes(func(s string) (string, error) {
		if err := withinSize(len(s) + strings.Count(s, from)*(len(to)-len(from))); err != nil {
			return "", err
		}
		return strings.ReplaceAll(s, from, to), nil
	}), nil
}

func join(args []any) (bloblang.Method, error) {
	delimiter := textOf(args[0])
	return bloblang.ArrayMethod(func(items []any) (any, error) {
		parts, size := make([]string, len(items)), 0
		for i, item := range items {
			switch item.(type) {
			case string, []byte:
				parts[i] = textOf(item)
			default:
				return nil, fmt.Errorf("item %d of the list is not a text", i)
			}
			size += len(parts[i]) + len(delimiter)
			if err := withinSize(size - len(delimiter)); err != nil {
				return nil, err
			}
		}
		return strings.Join(parts, delimiter), nil
	}), nil
}

func contains(args []any) (bloblang.Method, error) {
	var wanted any
	switch arg := args[0].(type) {
	case []any, map[string]any:
		return nil, errors.New("the argument must be a text, a number, a boolean or null")
	case []byte:
		wanted = string(arg)
	default:
		wanted = arg
	}
	text := bloblang.ValueToString(wanted)
	return func(v any) (any, error) {
		switch v := v.(type) {
		case string:
			return strings.Contains(v, text), nil
		case []byte:
			return bytes.Contains(v, []byte(text)), nil
		case []any:
			return slices.ContainsFunc(v, func(item any) bool { return same(item, wanted) }), nil
		case map[string]any:
			for _, item := range v {
				if same(item, wanted) {
					return true, nil
				}
			}
			return false, nil
		}
		return nil, errors.New("the value must be a text, a list or an object")
	}, nil
}

// same compares scalars as Bloblang does: numbers regardless of their type.
func same(a, b any) bool {
	switch b := b.(type) {
	case nil:
		return a == nil
	case string:
		text, err := textValue(a)
		return err == nil && text == b
	case bool:
		if n, err := number(a); err == nil {
			return (n != 0) == b
		}
		is, ok := a.(bool)
		return ok && is == b
	}
	x, errX := number(a)
	y, errY := number(b)
	return errX == nil && errY == nil && x == y
}

var errNotThat = errors.New("another type")

func textValue(v any) (string, error) {
	switch v.(type) {
	case string, []byte:
		return textOf(v), nil
	}
	return "", errNotThat
}

func number(v any) (float64, error) {
	switch v.(type) {
	case string, []byte, bool, nil:
		return 0, errNotThat // ValueAsFloat64 would parse a text
	}
	return bloblang.ValueAsFloat64(v)
}

// verbs are the verbs that format allows: no width as an argument, no width above 99,
// no argument used twice.
var verbs = regexp.MustCompile(`%(?:%|[-+ 0]*[0-9]{0,2}(?:\.[0-9]{0,2})?[bdefgoqstvxX])`)

func format(args []any) (bloblang.Method, error) {
	return bloblang.StringMethod(func(s string) (any, error) {
		plain := verbs.ReplaceAllLiteralString(s, "")
		if strings.Contains(plain, "%") {
			return nil, fmt.Errorf("%q has a verb that is not allowed: resources/docs/fields.md lists those that are", s)
		}
		// For bytes, %v writes up to 4 characters each, and %q up to 10.
		size := len(s)
		for _, v := range args {
			switch v.(type) {
			case string, []byte:
				size += 10 * len(textOf(v))
			}
		}
		if err := withinSize(size); err != nil {
			return nil, err
		}
		return fmt.Sprintf(s, args...), nil
	}), nil
}

func encode(args []any) (bloblang.Method, error) {
	var do func([]byte) string
	switch scheme := textOf(args[0]); scheme {
	case "base64":
		do = base64.StdEncoding.EncodeToString
	case "base64url":
		do = base64.URLEncoding.EncodeToString
	case "base64rawurl":
		do = base64.RawURLEncoding.EncodeToString
	case "hex":
		do = hex.EncodeToString
	case "ascii85":
		do = func(b []byte) string {
			out := make([]byte, ascii85.MaxEncodedLen(len(b)))
			return string(out[:ascii85.Encode(out, b)])
		}
	default:
		return nil, unknownScheme(scheme)
	}
	return bloblang.BytesMethod(func(b []byte) (any, error) { return do(b), nil }), nil
}

func decode(args []any) (bloblang.Method, error) {
	var reader func(io.Reader) io.Reader
	switch scheme := textOf(args[0]); scheme {
	case "base64":
		reader = func(r io.Reader) io.Reader { return base64.NewDecoder(base64.StdEncoding, r) }
	case "base64url":
		reader = func(r io.Reader) io.Reader { return base64.NewDecoder(base64.URLEncoding, r) }
	case "base64rawurl":
		reader = func(r io.Reader) io.Reader { return base64.NewDecoder(base64.RawURLEncoding, r) }
	case "hex":
		reader = hex.NewDecoder
	case "ascii85":
		reader = ascii85.NewDecoder
	default:
		return nil, unknownScheme(scheme)
	}
	return bloblang.BytesMethod(func(b []byte) (any, error) {
		return io.ReadAll(io.LimitReader(reader(bytes.NewReader(b)), MaxValue+1))
	}), nil
}

func unknownScheme(scheme string) error {
	return fmt.Errorf("scheme %q is unknown; must be one of base64, base64url, base64rawurl, hex, ascii85", scheme)
}

// formatTime formats in UTC: a named time zone would be looked up in files.
func formatTime(args []any) (bloblang.Method, error) {
	layout := textOf(args[0])
	return bloblang.TimestampMethod(func(t time.Time) (any, error) {
		return t.UTC().Format(layout), nil
	}), nil
}

// ofPattern compiles the first argument. Check has checked it already, and it is
// checked again here, because not every definition passes Check.
func ofPattern(do func(re *regexp.Regexp, s string, args []any) any) func([]any) (bloblang.Method, error) {
	return func(args []any) (bloblang.Method, error) {
		pattern := textOf(args[0])
		if err := checkPattern(pattern); err != nil {
			return nil, fmt.Errorf("the pattern: %w", err)
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return bloblang.StringMethod(func(s string) (any, error) {
			if len(s) > maxSubject {
				return nil, fmt.Errorf("the text has %d bytes: a regular expression reads at most %d", len(s), maxSubject)
			}
			return do(re, s, args), nil
		}), nil
	}
}

func match(re *regexp.Regexp, s string, _ []any) any { return re.MatchString(s) }

func replaceMatches(re *regexp.Regexp, s string, args []any) any {
	return re.ReplaceAllString(s, textOf(args[1]))
}

func findAll(re *regexp.Regexp, s string, _ []any) any { return listOf(re.FindAllString(s, -1)) }

func findAllSubmatch(re *regexp.Regexp, s string, _ []any) any {
	all := re.FindAllStringSubmatch(s, -1)
	list := make([]any, len(all))
	for i, groups := range all {
		list[i] = listOf(groups)
	}
	return list
}

func findObject(re *regexp.Regexp, s string, _ []any) any {
	names, object := re.SubexpNames(), map[string]any{}
	for i, group := range re.FindStringSubmatch(s) {
		name := names[i]
		if name == "" {
			name = strconv.Itoa(i)
		}
		object[name] = group
	}
	return object
}

func listOf(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}

// errTooLong is returned for a payload or a result beyond the limits.
var errTooLong = errors.New("too long for an expression")

// CheckContent refuses a payload that is too large to read.
func CheckContent(size int) error {
	if size > MaxContent {
		return fmt.Errorf("%w: the payload has %d bytes, and an expression reads at most %d", errTooLong, size, MaxContent)
	}
	return nil
}

// CheckResult refuses a result that is too large for a field.
func CheckResult(size int) error {
	if size > MaxResult {
		return fmt.Errorf("%w: the result has %d bytes, and a field may have at most %d", errTooLong, size, MaxResult)
	}
	return nil
}
