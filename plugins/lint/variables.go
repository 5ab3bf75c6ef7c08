package lint

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// escaped matches ${{NAME}}, the escaped form of ${NAME}.
var escaped = regexp.MustCompile(`\$\{(\{[0-9A-Za-z_.]+(?::(?:\$\{[^}]+\}|[^}])*)?\})\}`)

// variables matches what the engine replaces before it reads a text's YAML: escaped
// forms, ${NAME}, ${NAME:default} and either with |function.
var variables = regexp.MustCompile(
	escaped.String() +
		`|\$\{([0-9A-Za-z_.]+)(:(?:\$\{[^}]+\}|[^}])*)?(?:\|([0-9A-Za-z]+))?\}`)

// position is a position in a text. Line and column start at 1; the column counts
// characters.
type position struct{ line, column int }

// replaced is a text with its variables replaced. It can map a position of the new text
// to the original text.
type replaced struct {
	text     string
	original string
	spans    []span
	lines    []int // where each line of text starts
}

// span is a variable, as byte offsets in the original text and in the new one.
type span struct{ from, to, newFrom, newTo int }

// wrongVariable is a variable without a value.
type wrongVariable struct {
	at   position
	what string
}

// replaceVariables replaces variables as the engine does. It replaces a variable
// without a value by marker, and reports why.
func replaceVariables(text, marker string, lookup func(name string) (string, bool)) (replaced, []wrongVariable) {
	r := replaced{original: text}
	var wrong []wrongVariable
	var b strings.Builder
	end := 0
	for _, at := range variables.FindAllStringSubmatchIndex(text, -1) {
		group := func(n int) string {
			if at[2*n] < 0 {
				return ""
			}
			return text[at[2*n]:at[2*n+1]]
		}
		value := "$" + group(1)
		if group(1) == "" {
			var what string
			if value, what = variableValue(group(2), group(3), group(4), lookup); what != "" {
				value = marker
				wrong = append(wrong, wrongVariable{positionOf(text, at[0]), what})
			}
		}
		b.WriteString(text[end:at[0]])
		r.spans = append(r.spans, span{at[0], at[1], b.Len(), b.Len() + len(value)})
		b.WriteString(value)
		end = at[1]
	}
	b.WriteString(text[end:])
	r.text = b.String()
	r.lines = []int{0}
	for i, c := range []byte(r.text) {
		if c == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	return r, wrong
}

// variableValue returns the value of a variable, or what is wrong with it.
func variableValue(name, otherwise, function string, lookup func(string) (string, bool)) (value, what string) {
	value, ok := lookup(name)
	if otherwise == "" && !ok {
		return "", fmt.Sprintf("environment variable %s is not set; set it, or give it a default as ${%s:default}", name, name)
	}
	if otherwise != "" {
		// The engine reads the text after the last bar of a default as a function.
		otherwise = otherwise[1:]
		if bar := strings.LastIndexByte(otherwise, '|'); bar >= 0 {
			otherwise, function = otherwise[:bar], otherwise[bar+1:]
		}
		if value == "" {
			value = otherwise
		}
	}
	switch function {
	case "":
	case "base64decode":
		decoded, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", fmt.Sprintf("environment variable %s is not base64: %v", name, err)
		}
		value = string(decoded)
	default:
		return "", fmt.Sprintf("function %s after environment variable %s does not exist; use base64decode", function, name)
	}
	// The engine replaces escaped forms in a second pass, also within values.
	return escaped.ReplaceAllString(strings.ReplaceAll(value, "\n", `\n`), "$$$1"), ""
}

// source returns the original position of a position in the new text. For text from a
// variable, that is the variable's position.
func (r replaced) source(at position) position {
	if len(r.spans) == 0 {
		return at
	}
	if at.line < 1 || at.line > len(r.lines) {
		return at
	}
	offset := r.lines[at.line-1]
	for column := 1; column < at.column && offset < len(r.text) && r.text[offset] != '\n'; column++ {
		_, size := utf8.DecodeRuneInString(r.text[offset:])
		offset += size
	}
	after := sort.Search(len(r.spans), func(i int) bool { return r.spans[i].newFrom > offset })
	if after > 0 {
		switch before := r.spans[after-1]; {
		case offset < before.newTo:
			offset = before.from
		default:
			offset += before.to - before.newTo
		}
	}
	return positionOf(r.original, offset)
}

func positionOf(text string, offset int) position {
	before := text[:min(offset, len(text))]
	start := strings.LastIndexByte(before, '\n') + 1
	return position{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1}
}
