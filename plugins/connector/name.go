package connector

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Hidden reports a character that a terminal does not show, or that changes where it
// shows others: controls, line separators, marks of the writing direction. Joiners,
// which some scripts need, are not hidden.
func Hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != nonJoiner && r != joiner
}

// CheckName refuses a new connector name with characters that a terminal hides, so that
// two different names never look alike. Names that are stored already stay, because
// their connectors run.
func CheckName(name string) error {
	if i := strings.IndexFunc(name, Hidden); i >= 0 {
		hidden, _ := utf8.DecodeRuneInString(name[i:])
		return fmt.Errorf("connector_name: %q holds %U, which a terminal does not show: remove it", name, hidden)
	}
	return nil
}
