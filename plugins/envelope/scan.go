package envelope

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// maxDepth limits the nesting of skipped values, and so the stack that a hostile record
// can use.
const maxDepth = 64

// scanner reads JSON (RFC 8259) from a buffer, one value after another. Each method
// that reads a value expects pos on its first byte and leaves pos behind the last.
// field, index (-1 outside an array) and sub form the name in errors.
type scanner struct {
	data       []byte
	pos        int
	field, sub string
	index      int
}

// fail returns an error for the current field.
func (s *scanner) fail(at int, format string, args ...any) error {
	return &DecodeError{Field: s.place(), Offset: at, Reason: fmt.Sprintf(format, args...)}
}

// place names the value at hand.
func (s *scanner) place() string {
	field := s.field
	if s.index >= 0 {
		field += "[" + strconv.Itoa(s.index) + "]"
	}
	if s.sub != "" {
		field += "." + s.sub
	}
	return field
}

// space skips white space.
func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// end returns an error unless only white space follows.
func (s *scanner) end() error {
	if s.space(); s.pos < len(s.data) {
		return s.fail(s.pos, "unexpected %s after the end; want one JSON value alone", s.kind())
	}
	return nil
}

// peek returns the current byte, 0 at the end: no JSON value starts with 0.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// kind names the value that starts at the current byte, for errors.
func (s *scanner) kind() string {
	if s.pos >= len(s.data) {
		return "the end of the record"
	}
	switch c := s.data[s.pos]; c {
	case '"':
		return "a string"
	case '[':
		return "an array"
	case '{':
		return "an object"
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return "a number"
	default:
		for _, word := range []string{"true", "false", "null"} {
			if bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
				return word
			}
		}
		return strconv.QuoteRuneToASCII(rune(c))
	}
}

// word consumes the given word if it is next.
func (s *scanner) word(w string) bool {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return false
	}
	s.pos += len(w)
	return true
}

func (s *scanner) null() bool { return s.word("null") }

func (s *scanner) boolean() (bool, error) {
	switch {
	case s.word("true"):
		return true, nil
	case s.word("false"):
		return false, nil
	}
	return false, s.fail(s.pos, "want true or false, got %s", s.kind())
}

// object reads an object and calls member for each name, with the name's offset and pos
// on the value, which member must read.
func (s *scanner) object(member func(name []byte, nameAt int) error) error {
	field, sub := s.field, s.sub
	if s.peek() != '{' {
		return s.fail(s.pos, "want a JSON object, got %s", s.kind())
	}
	s.pos++
	for first := true; ; first = false {
		s.space()
		if s.peek() == '}' && first {
			s.pos++
			return nil
		}
		at := s.pos
		if s.peek() != '"' {
			return s.fail(at, "want a name in quotes, got %s", s.kind())
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		if s.space(); s.peek() != ':' {
			return s.fail(s.pos, `want ":" after the name %q, got %s`, clip(name), s.kind())
		}
		s.pos++
		s.space()
		if err := member(name, at); err != nil {
			return err
		}
		s.field, s.sub = field, sub
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.fail(s.pos, `want "," or "}" after the value of %q, got %s`, clip(name), s.kind())
		}
	}
}

// array reads an array and calls element with pos on each value, which element must
// read. An element whose errors should have an index sets index.
func (s *scanner) array(element func(i int) error) error {
	if s.peek() != '[' {
		return s.fail(s.pos, "want an array, got %s", s.kind())
	}
	s.pos++
	index := s.index
	for i := 0; ; i++ {
		s.space()
		if s.peek() == ']' && i == 0 {
			break
		}
		if err := element(i); err != nil {
			return err
		}
		s.index = index
		if s.space(); s.peek() == ']' {
			break
		}
		if s.peek() != ',' {
			return s.fail(s.pos, `want "," or "]", got %s`, s.kind())
		}
		s.pos++
	}
	s.pos++
	return nil
}

// skip reads and discards any value.
func (s *scanner) skip(depth int) error {
	if depth >= maxDepth {
		return s.fail(s.pos, "nested more than %d deep", maxDepth)
	}
	switch c := s.peek(); {
	case c == '"':
		_, err := s.text()
		return err
	case c == '{':
		return s.object(func([]byte, int) error { return s.skip(depth + 1) })
	case c == '[':
		return s.array(func(int) error { return s.skip(depth + 1) })
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	case s.word("true"), s.word("false"), s.word("null"):
		return nil
	}
	return s.fail(s.pos, "want a value, got %s", s.kind())
}

// number reads a number and returns its text.
func (s *scanner) number() ([]byte, error) {
	at := s.pos
	digits := func() bool {
		from := s.pos
		for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
			s.pos++
		}
		return s.pos > from
	}
	if s.peek() == '-' {
		s.pos++
	}
	ok := true
	if s.peek() == '0' {
		s.pos++
	} else {
		ok = digits()
	}
	if ok && s.peek() == '.' {
		s.pos++
		ok = digits()
	}
	if c := s.peek(); ok && (c == 'e' || c == 'E') {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		ok = digits()
	}
	if !ok {
		return nil, s.fail(s.pos, "want a digit, got %s", s.kind())
	}
	return s.data[at:s.pos], nil
}

// integer reads a whole number within lo and hi.
func (s *scanner) integer(lo, hi int64) (int64, error) {
	at := s.pos
	if c := s.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, s.fail(at, "want %s, got %s", wantInteger(lo, hi), s.kind())
	}
	text, err := s.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < lo || n > hi {
		return 0, s.fail(at, "want %s, got %s", wantInteger(lo, hi), clip(text))
	}
	return n, nil
}

// wantInteger describes the allowed integers.
func wantInteger(lo, hi int64) string {
	switch {
	case lo == 0 && hi == 2:
		return "0, 1 or 2"
	case lo == math.MinInt64 && hi == math.MaxInt64:
		return "an integer of 64 bits"
	}
	return fmt.Sprintf("an integer from %d to %d", lo, hi)
}

// clip shortens what an error quotes.
func clip[T string | []byte](v T) string {
	const limit = 64
	if len(v) <= limit {
		return string(v)
	}
	return string(v[:limit]) + "..."
}
