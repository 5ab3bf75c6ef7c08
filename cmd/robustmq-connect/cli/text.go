package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// OneLine returns text on one line, without characters that move a terminal's cursor or
// change the writing direction.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case connector.Hidden(r) || r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}

// PrintJSON prints a server's answer, indented and otherwise unchanged.
func PrintJSON(w io.Writer, value any) error {
	text, ok := value.(json.RawMessage)
	if !ok {
		var err error
		if text, err = Marshal(value); err != nil {
			return fmt.Errorf("printing JSON: %w", err)
		}
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(text), "", "  "); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// Marshal is json.Marshal without the escapes that only web pages need.
func Marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimSpace(b.Bytes()), err
}
