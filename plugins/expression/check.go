package expression

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Check returns what is wrong with a field that may contain expressions, ${! … }:
// syntax outside this grammar, a function or a method that is not allowed, or an
// exceeded limit. It must be called before Bloblang parses the field, because parsing
// evaluates constants.
//
//	expression = operand { operator operand }
//	operand    = { "!" | "-" } value { "." name [ arguments ] }
//	value      = text | number | true | false | null | "(" expression ")"
//	           | "@" name | name arguments
//	           | if expression { expression } [ else … ]
//	           | match expression { expression => expression, … }
//	arguments  = "(" [ name ":" ] expression, … ")"
func Check(field string) error {
	_, err := parse(field)
	return err
}

// ReadsContent reports whether evaluating a field reads the payload. It returns true
// for a field that Check refuses.
func ReadsContent(field string) bool {
	p, err := parse(field)
	return err != nil || p.content
}

func parse(field string) (*parser, error) {
	p := &parser{rest: field}
	if n := utf8.RuneCountInString(field); n > MaxLength {
		return p, fmt.Errorf("%d characters long: at most %d are allowed in a field with an expression", n, MaxLength)
	}
	for {
		_, after, found := strings.Cut(p.rest, "${")
		if !found {
			return p, nil
		}
		if !strings.HasPrefix(after, "!") {
			return p, fmt.Errorf("%q is not the start of an expression: write ${! … }", "${")
		}
		p.rest = after[1:]
		p.next()
		p.expression()
		if p.err == nil && p.token != "}" {
			p.fail("expected the end of the expression, }")
		}
		if p.err != nil {
			return p, p.err
		}
	}
}

// parser reads one token ahead. The first error ends it: after that the token is empty,
// which nothing accepts.
type parser struct {
	token string // "" at the end of the text
	rest  string

	depth    int
	patterns int
	content  bool
	err      error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
		if p.token != "" {
			p.err = fmt.Errorf("%w, at %q", p.err, p.token)
		}
	}
	p.token, p.rest = "", ""
}

var (
	numberToken = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?`)
	nameToken   = regexp.MustCompile(`^[A-Za-z0-9_]+`)
	operators   = []string{"&&", "||", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", ">", "<", "|"}
)

// next reads a token. Texts are tokenized as in Bloblang: whatever is inside the
// quotes, both read it as one token.
func (p *parser) next() {
	p.rest = strings.TrimLeft(p.rest, " \t")
	token := ""
	switch {
	case p.rest == "":
	case p.rest[0] == '"':
		token = quoted(p.rest)
		if token == "" {
			p.token = ""
			p.fail("a text is not closed, or has three quotes: write \"text\"")
			return
		}
	case strings.HasPrefix(p.rest, "=>"):
		token = "=>"
	case nameToken.MatchString(p.rest):
		token = nameToken.FindString(p.rest)
		if number := numberToken.FindString(p.rest); len(number) > len(token) {
			token = number
		}
	default:
		token = p.rest[:1]
		for _, operator := range operators {
			if strings.HasPrefix(p.rest, operator) {
				token = operator
				break
			}
		}
	}
	p.token, p.rest = token, p.rest[len(token):]
}

// quoted returns the text, with its quotes, at the start of s, or "". Bloblang reads
// three quotes as another kind of text, without escapes.
func quoted(s string) string {
	if strings.HasPrefix(s, `"""`) {
		return ""
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if _, err := strconv.Unquote(s[:i+1]); err != nil {
				return ""
			}
			return s[:i+1]
		}
	}
	return ""
}

// accept consumes the token if it is the given one.
func (p *parser) accept(token string) bool {
	if p.err != nil || p.token != token {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(token string) {
	if !p.accept(token) {
		p.fail("expected %s", token)
	}
}

func (p *parser) expression() {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested deeper than %d levels: use several expressions", maxDepth)
		return
	}
	defer func() { p.depth-- }()
	p.operand()
	for p.err == nil && slices.Contains(operators, p.token) {
		p.next()
		p.operand()
	}
}

func (p *parser) operand() {
	for p.token == "!" || p.token == "-" {
		p.next()
	}
	p.value()
	for p.accept(".") {
		name := p.token
		if !nameToken.MatchString(name) {
			p.fail("expected the name of a method or a member after the dot")
			return
		}
		p.next()
		if p.token == "(" {
			p.call(Method, name)
		}
	}
}

func (p *parser) value() {
	token := p.token
	switch {
	case token == "":
		p.fail("the expression ends too early")
	case token[0] == '"', numberToken.MatchString(token) && numberToken.FindString(token) == token:
		p.next()
	case token == "(":
		p.next()
		p.expression()
		p.expect(")")
	case token == "@":
		p.metadata()
	case !nameToken.MatchString(token):
		p.fail("expected a value")
	case token == "true", token == "false", token == "null":
		p.next()
	case token == "if":
		p.next()
		p.branch()
	case token == "match":
		p.next()
		p.match()
	default:
		p.next()
		if p.token != "(" {
			p.token = token
			p.fail(`write json("path") for a member of the payload, and @name for metadata: other names are not allowed`)
			return
		}
		p.call(Function, token)
	}
}

// metadata reads @name or @"name". A single @ would return all metadata.
func (p *parser) metadata() {
	if strings.HasPrefix(p.rest, " ") || strings.HasPrefix(p.rest, "\t") {
		p.fail("expected a name directly after @")
		return
	}
	p.next()
	if p.token == "" || p.token == `""` || p.token[0] != '"' && nameToken.FindString(p.token) != p.token {
		p.fail("expected a name directly after @")
		return
	}
	p.next()
}

func (p *parser) branch() {
	for {
		p.expression()
		p.block()
		if !p.accept("else") {
			return
		}
		if !p.accept("if") {
			p.block()
			return
		}
	}
}

func (p *parser) block() {
	p.expect("{")
	p.expression()
	p.expect("}")
}

func (p *parser) match() {
	p.expression()
	p.expect("{")
	for {
		if !p.accept("_") {
			p.expression()
		}
		p.expect("=>")
		p.expression()
		if !p.accept(",") {
			break
		}
		if p.token == "}" {
			break
		}
	}
	p.expect("}")
}

// call reads the arguments of a function or a method.
func (p *parser) call(kind Kind, name string) {
	if _, ok := kind.allowed()[name]; !ok {
		why, known := Refused(kind, name)
		if !known {
			why = "it does not exist"
		}
		p.token = ""
		p.fail("the %s %s is not allowed here: %s; resources/docs/fields.md lists what is allowed", kind, name, why)
		return
	}
	if kind == Function && (name == "content" || name == "json") {
		p.content = true
	}
	p.expect("(")
	var first string // the first argument, where it is a text and nothing else
	for i := 0; p.err == nil && p.token != ")"; i++ {
		if i > 0 {
			p.expect(",")
		}
		if nameToken.MatchString(p.token) && strings.HasPrefix(p.rest, ":") {
			p.next()
			p.next()
		}
		text := p.token
		p.expression()
		if i == 0 && strings.HasPrefix(text, `"`) && (p.token == "," || p.token == ")") {
			first = text
		}
	}
	p.expect(")")
	switch {
	case p.err != nil:
	case strings.HasPrefix(name, "re_"):
		p.pattern(name, first)
	case kind == Function && (name == "meta" || name == "metadata") && (first == "" || first == `""`):
		p.token = ""
		p.fail("%s needs the name of a metadata value, as a text", name)
	}
}

// pattern checks the limits of a regular expression. It must be a literal, so that no
// message can supply another.
func (p *parser) pattern(method, literal string) {
	text, err := strconv.Unquote(literal)
	if err != nil {
		p.token = ""
		p.fail("the pattern of %s must be a text", method)
		return
	}
	if p.patterns++; p.patterns > maxPatterns {
		p.token = ""
		p.fail("%d regular expressions in one field: at most %d are allowed", p.patterns, maxPatterns)
		return
	}
	if err := checkPattern(text); err != nil {
		p.token = ""
		p.fail("the pattern of %s: %w", method, err)
	}
}

func checkPattern(pattern string) error {
	if n := utf8.RuneCountInString(pattern); n > maxPattern {
		return fmt.Errorf("%d characters long: at most %d are allowed", n, maxPattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return err
	}
	if n := len(program.Inst); n > maxProgram {
		return fmt.Errorf("%q compiles to %d instructions: at most %d are allowed, so repeat less", pattern, n, maxProgram)
	}
	if n := parsed.MaxCap(); n > maxGroups {
		return fmt.Errorf("%q has %d groups: at most %d are allowed", pattern, n, maxGroups)
	}
	return nil
}
