package expression

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckAcceptsExpressionsForTopicsAndKeys(t *testing.T) {
	for field, content := range map[string]bool{
		``:                                false,
		`a plain text, $ and } {`:         false,
		`${! @mqtt_topic }`:               false,
		`${!@mqtt_topic}`:                 false,
		`${! @"mqtt_user_property_a b" }`: false,
		`${! @mqtt_topic.or("") }`:        false,
		`${! meta("mqtt_topic") }/${! metadata("x") }`:                                false,
		`${! @mqtt_topic.split("/").index(1).catch(@mqtt_topic) }`:                    false,
		`${! @mqtt_topic.replace_all("/", ".") }`:                                     false,
		`${! @mqtt_topic.re_replace_all("[^a-z]+", "_").trim("_").slice(0, 100) }`:    false,
		`out_${! json("to") }`:                                                        true,
		`${! json("a.b").string().lowercase() }`:                                      true,
		`${! json().device.id }`:                                                      true,
		`${! content().hash("sha256").encode("hex") }`:                                true,
		`${! if json("t") > 30.5 && !(@hot == null) { "hot" } else { "cold" } }`:      true,
		`${! if @a == "1" { "x" } else if @a == "2" { "y" } else { throw("no a") } }`: false,
		`${! match @mqtt_topic { "a/b" => "x", _ => "y" } }`:                          false,
		`${! match @mqtt_topic.split("/").index(0) { "a" => 1, "b" => json("n"), } }`: true,
		`${! "%s-%03d".format(@a, 7) }`:                                               false,
		`${! @a | @b | "none" }`:                                                      false,
		`${! -json("n") % 8 }`:                                                        true,
		`events_${! now().ts_format("20060102") }`:                                    false,
		`${! "a\"b\\" + "}" + "${!" }`:                                                false,
		`${! @x.slice(low: 1, high: 3) }`:                                             false,
		`${! uuid_v7() }`:                                                             false,
		`${! @mqtt_topic.re_find_object("^(?P<site>[^/]+)/").site }`:                  false,
		strings.Repeat("é", MaxLength):                                                false,
	} {
		require.NoError(t, Check(field), "%s", field)
		assert.Equal(t, content, ReadsContent(field), "%s", field)
	}
}

func TestCheckRefusesUnsafeExpressions(t *testing.T) {
	for _, test := range [][2]string{
		// Syntax that uses a value twice would double it each time.
		{`${! content().(c -> c + c) }`, "expected the name of a method"},
		{`${! "a".(this + this) }`, "expected the name of a method"},
		{`${! "a".map(x -> x) }`, "the method map is not allowed here: it evaluates a query for each element"},
		{`${! "a".apply("m") }`, "the method apply is not allowed here"},
		{`${! this.a }`, `write json("path") for a member of the payload`},
		{`${! a.b }`, `write json("path") for a member of the payload`},
		{`${! root }`, `write json("path") for a member of the payload`},
		{`${! $x }`, "expected a value"},
		{`${! x -> x }`, `write json("path") for a member of the payload`},
		{`${! match "a" { this == "a" => this } }`, `write json("path") for a member of the payload`},
		{`${! [1, 2] }`, "expected a value"},
		{`${! {"a": 1} }`, "expected a value"},
		{`${! json("l").map_each(json("l")) }`, "it evaluates a query for each element"},
		{`${! json("l").fold(0, x -> x) }`, "it evaluates a query for each element"},
		{`${! "x".bloblang("root = this") }`, "the method bloblang is not allowed here: it accesses the host"},
		{`${! json().json_schema("{}") }`, "it accesses the host"},
		{`${! env("HOME") }`, "the function env is not allowed here: it accesses the host"},
		{`${! file("/etc/passwd") }`, "it accesses the host"},
		{`${! file_rel("x") }`, "it accesses the host"},
		{`${! hostname() }`, "it accesses the host"},
		{`${! import "/etc/passwd" }`, `write json("path") for a member of the payload`},
		{`${! range(0, 1000000000000).length() }`, "its result may be many times longer"},
		{`${! "a".repeat(300000000000000) }`, "its result may be many times longer"},
		{`${! bytes(1000000000000) }`, "its result may be many times longer"},
		{`${! content().parse_msgpack() }`, "the parsed value may take many times"},
		{`${! content().parse_xml() }`, "the parsed value may take many times"},
		{`${! content().decompress("gzip") }`, "the parsed value may take many times"},
		{`${! content().from_all() }`, "it reads other messages of the batch"},
		{`${! no_such() }`, "the function no_such is not allowed here: it does not exist"},
		{`${! "a".no_such() }`, "the method no_such is not allowed here: it does not exist"},
		{`${! metadata() }`, "metadata needs the name of a metadata value"},
		{`${! meta("") }`, "meta needs the name of a metadata value"},
		{`${! meta(json("x")) }`, "meta needs the name of a metadata value"},
		{`${! @ }`, "expected a name directly after @"},
		{`${! @"" }`, "expected a name directly after @"},
		{`${! @a.re_match(json("p")) }`, "the pattern of re_match must be a text"},
		{`${! @a.re_match("(") }`, "missing closing )"},
		{`${! @a.re_match("(a{1,100}){1,10}") }`, "repeat less"},
		{`${! @a.re_match("` + strings.Repeat("()", 12) + `") }`, "12 groups"},
		{`${! @a.re_match("` + strings.Repeat("a", 129) + `") }`, "129 characters long"},
		{`${! ` + strings.Repeat(`@a.re_match("a") || `, 5) + `1 }`, "5 regular expressions in one field"},
		{`${! ` + strings.Repeat("(", 13) + `1` + strings.Repeat(")", 13) + ` }`, "nested deeper than 12 levels"},
		{`${! """a""" }`, "three quotes"},
		{`${! "" "a" }`, "expected the end of the expression"},
		{`${! "a }`, "a text is not closed"},
		{`${! "\q" }`, "a text is not closed"},
		{`${! @a # comment`, "expected the end of the expression"},
		{"${! @a.\nsplit(\"/\") }", "expected the name of a method"},
		{`${! @a`, "expected the end of the expression"},
		{`${! `, "the expression ends too early"},
		{`${! @a.split("/" }`, "expected ,"},
		{`${HOME}`, "is not the start of an expression"},
		{`${{!x}}`, "is not the start of an expression"},
		{`${! if @a { "x" `, "expected }"},
		{strings.Repeat("a", MaxLength+1), "257 characters long"},
	} {
		field, why := test[0], test[1]
		err := Check(field)
		require.Error(t, err, "%s", field)
		assert.Contains(t, err.Error(), why, "%s", field)
		assert.True(t, ReadsContent(field), "a refused field counts as reading the payload: %s", field)
	}
}

func TestEachNameIsEitherAllowedOrRefusedOnce(t *testing.T) {
	for kind, refused := range map[Kind]map[string][]string{Function: refusedFunctions, Method: refusedMethods} {
		seen := map[string]bool{}
		for why, names := range refused {
			assert.NotEmpty(t, why)
			for _, name := range names {
				assert.NotContains(t, kind.allowed(), name)
				assert.False(t, seen[name], "%s twice", name)
				seen[name] = true
			}
		}
		assert.NotEmpty(t, seen)
	}
	for name := range limited {
		assert.Contains(t, methods, name)
	}
}
