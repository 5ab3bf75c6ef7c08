package connector

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Hidden tells a character that a terminal does not show, or by which it shows
// others elsewhere: controls, line separators, marks of the direction of writing.
// The joiners of letters, which some scripts need, are none.
func Hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != nonJoiner && r != joiner
}

// CheckName refuses the name of a new connector that a terminal does not show as
// it is: two names that look alike shall be alike. A name that is stored already
// stays, since its connector runs.
func CheckName(name string) error {
	if i := strings.IndexFunc(name, Hidden); i >= 0 {
		hidden, _ := utf8.DecodeRuneInString(name[i:])
		return fmt.Errorf("connector_name: %q holds %U, which a terminal does not show: remove it", name, hidden)
	}
	return nil
}
