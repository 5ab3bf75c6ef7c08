package lint

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// notYAML explains the YAML library's error about a text that it cannot read. It
// recognizes the most frequent mistakes; for others it quotes the library.
func notYAML(text string, err error) Finding {
	if !utf8.ValidString(text) {
		for i, line := range strings.Split(text, "\n") {
			if !utf8.ValidString(line) {
				return Finding{Line: i + 1, Column: 1, What: "the line is not UTF-8 text; save the file as UTF-8"}
			}
		}
	}
	if f, found := wrongIndentation(text); found {
		return f
	}
	// The library reports the line only in its text.
	line, what := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if n, _ := fmt.Sscanf(what, "line %d:", &line); n == 1 {
		_, what, _ = strings.Cut(what, ": ")
	}
	return Finding{Line: line, Column: 1, What: fmt.Sprintf("this is not YAML: %s; look at the quotes, brackets and colons around this line", OneLine(what))}
}

// openField is a field or a list item that may continue on the next line.
type openField struct {
	indent  int
	name    string
	waiting bool // for a value
}

// wrongIndentation looks for the first line whose indentation does not match any line
// above it. The library often reports the line where the mapping starts.
func wrongIndentation(text string) (Finding, bool) {
	var open []openField
	block := -1 // the indentation of the field that a text of several lines belongs to
	for i, line := range strings.Split(text, "\n") {
		content := strings.TrimLeft(line, " \t")
		indent := len(line) - len(content)
		if content == "" || content[0] == '#' || strings.HasPrefix(line, "---") {
			continue
		}
		if block >= 0 && len(line)-len(strings.TrimLeft(line, " ")) > block {
			continue
		}
		block = -1
		if tab := strings.IndexByte(line[:indent], '\t'); tab >= 0 {
			return Finding{Line: i + 1, Column: tab + 1, What: "there is a tab in the indentation; YAML requires spaces, two for each level"}, true
		}
		for strings.HasPrefix(content, "- ") {
			for len(open) > 0 && open[len(open)-1].indent >= indent {
				open = open[:len(open)-1]
			}
			open = append(open, openField{indent: indent, name: "-", waiting: true})
			inner := strings.TrimLeft(content[2:], " ")
			indent += len(content) - len(inner)
			content = inner
		}
		name, value, isField := strings.Cut(content, ":")
		if !isField || value != "" && value[0] != ' ' {
			continue
		}
		value = strings.TrimSpace(value)
		above, what := fitting(open, name, indent)
		if what != "" {
			return Finding{Line: i + 1, Column: indent + 1, What: what}, true
		}
		switch {
		case value == "":
		case strings.ContainsRune("[{\"'", rune(value[0])) && strings.IndexByte("]}\"'", value[len(value)-1]) < 0:
			return Finding{}, false // it continues on lines whose indentation has no meaning
		case value[0] == '|' || value[0] == '>':
			block = indent
		}
		open = append(above, openField{indent, name, value == "" || strings.IndexByte("#&!", value[0]) >= 0})
	}
	return Finding{}, false
}

// fitting returns the open fields above a line with that indentation, or what is wrong
// with the indentation.
func fitting(open []openField, name string, indent int) (above []openField, what string) {
	for last := len(open) - 1; last >= 0; last-- {
		o := open[last]
		switch {
		case o.indent > indent:
		case o.indent == indent && o.name == "-" && last > 0:
			return nil, fmt.Sprintf("%s is among the items of %s; indent it by %s to put it next to %s, or write a dash before it",
				name, open[last-1].name, spaces(open[last-1].indent), open[last-1].name)
		case o.indent == indent:
			return open[:last], ""
		case last < len(open)-1:
			return nil, fmt.Sprintf("%s is indented by %s, unlike every line above it; indent it by %s to put it next to %s",
				name, spaces(indent), spaces(open[last+1].indent), open[last+1].name)
		case o.waiting:
			return open, ""
		default:
			return nil, fmt.Sprintf("%s is indented below %s, which has a value already; indent both alike", name, o.name)
		}
	}
	return nil, ""
}

func spaces(n int) string {
	if n == 1 {
		return "1 space"
	}
	return fmt.Sprintf("%d spaces", n)
}
