// Package excerpt shows the beginning of a payload or of a record's value.
package excerpt

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Max is how many bytes are shown, and maxLine how many of a line.
const (
	Max     = 4 << 10
	maxLine = 1 << 10
)

// Excerpt is the beginning of some bytes, with their true size.
type Excerpt struct {
	Data []byte // nil for none
	Size int
}

// Of copies the beginning of data. Text is cut between two characters.
func Of(data []byte) Excerpt { return upTo(Max, data) }

// Short is an Excerpt of what is short as a rule, such as a header.
func Short(data []byte) Excerpt { return upTo(maxLine, data) }

func upTo(most int, data []byte) Excerpt {
	if data == nil {
		return Excerpt{}
	}
	shown := data
	if len(data) > most {
		shown = data[:most]
		for cut := most; cut > most-utf8.UTFMax; cut-- {
			if utf8.Valid(data[:cut]) {
				shown = data[:cut]
				break
			}
		}
	}
	return Excerpt{Data: append(make([]byte, 0, len(shown)), shown...), Size: len(data)}
}

// Line copies a text that should be short, such as a topic, and cuts one that is not.
func Line(text string) string {
	if len(text) <= maxLine {
		return strings.Clone(text)
	}
	return strings.ToValidUTF8(text[:maxLine], "") + "…"
}

// Text is what is shown: the text itself, or bytes that are no text in base64.
func (e Excerpt) Text() (text string, isText bool) {
	if utf8.Valid(e.Data) {
		return string(e.Data), true
	}
	return base64.StdEncoding.EncodeToString(e.Data), false
}

// Cut tells whether there is more than what is shown.
func (e Excerpt) Cut() bool { return len(e.Data) < e.Size }
