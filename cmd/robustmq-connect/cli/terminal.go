package cli

import (
	"io"
	"os"
)

// IsTerminal reports whether a person reads what is written. It also returns true for
// /dev/null, where that does no harm.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
