package connector

import (
	"strings"
	"unicode"
)

// Hidden tells a character that a terminal does not show, or by which it shows
// others elsewhere: controls, line separators, marks of the direction of writing.
// The joiners of letters, which some scripts need, are none.
func Hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != nonJoiner && r != joiner
}

// name is a text that people see: two that look alike are alike.
func (r *reader) name(field string, most int) string {
	text := r.text(field, 1, most)
	if i := strings.IndexFunc(text, Hidden); i >= 0 {
		r.fail(field, "%q holds %U, which a terminal does not show: leave it out", text, []rune(text[i:])[0])
	}
	return text
}
