package envelope

import (
	"unicode/utf16"
	"unicode/utf8"
)

func (s *scanner) str() (string, error) {
	text, err := s.text()
	return string(text), err
}

// text reads a string. The result may share memory with the record.
func (s *scanner) text() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fail(s.pos, "want a string, got %s", s.kind())
	}
	at := s.pos
	ascii := true
	for i := at + 1; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			text := s.data[at+1 : i]
			if !ascii && !utf8.Valid(text) {
				return s.unescape()
			}
			s.pos = i + 1
			return text, nil
		case c == '\\':
			return s.unescape()
		case c < ' ':
			return nil, s.fail(i, "control character 0x%02x in a string; want it escaped", c)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, s.fail(at, "the string does not end")
}

// unescape is text for strings with escapes or bytes that are not UTF-8.
func (s *scanner) unescape() ([]byte, error) {
	at := s.pos
	out := []byte{}
	for i := at + 1; i < len(s.data); {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return out, nil
		case c == '\\':
			r, n := escaped(s.data[i:])
			if n == 0 {
				return nil, s.fail(i, "unknown or cut escape in a string")
			}
			out = utf8.AppendRune(out, r)
			i += n
		case c < ' ':
			return nil, s.fail(i, "control character 0x%02x in a string; want it escaped", c)
		default:
			r, n := utf8.DecodeRune(s.data[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return nil, s.fail(at, "the string does not end")
}

// escaped reads the escape at the start of b and returns its length, 0 if it is not a
// valid escape. Half a surrogate pair becomes U+FFFD.
func escaped(b []byte) (rune, int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hex4(b[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 reads \uXXXX at the start of b.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
