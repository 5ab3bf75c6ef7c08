package expression

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func environment(t testing.TB) *bloblang.Environment {
	t.Helper()
	env, err := Environment(bloblang.GlobalEnvironment())
	require.NoError(t, err)
	return env
}

// evaluate evaluates an expression on a message, as a field of a component does.
func evaluate(t testing.TB, env *bloblang.Environment, expression string, payload []byte) (any, error) {
	t.Helper()
	exec, err := env.Parse("root = " + expression)
	if err != nil {
		return nil, err
	}
	msg := service.NewMessage(payload)
	msg.MetaSetMut("mqtt_topic", "Site 1/dev-7/État")
	msg.MetaSetMut("n", 7)
	msg.MetaSetMut("b", []byte{0, 1, 0xff, 'a'})
	result, err := msg.BloblangQueryValue(exec)
	return result, err
}

// examples use every allowed method, to compare ours with upstream's.
var examples = []string{
	`@mqtt_topic.replace_all("/", ".")`, `@mqtt_topic.replace_all("", "-")`, `@mqtt_topic.replace_all("/", "")`, `@b.replace_all("a", "bb")`,
	`@n.replace_all("a", "b")`, `@mqtt_topic.replace_all(json("from"), json("to"))`,
	`@mqtt_topic.split("/").join("-")`, `@mqtt_topic.split("/").join()`, `"".split("/").join("x")`, `json("list").join("x")`, `json("texts").join(delimiter: ", ")`,
	`"%s|%5d|%-6v|%.2f|%q|%x|%t|%%".format(@mqtt_topic, 7, "a", 1.5, "a\"b", "hi", true)`, `"%v".format(json("list"))`, `"%v".format(json("object"))`, `"none".format()`,
	`"%d".format("x")`, `"%s".format()`, `"%v %v".format(@b, null)`,
	`@mqtt_topic.encode("base64")`, `@b.encode("hex")`, `@mqtt_topic.encode("ascii85")`, `content().encode("base64url")`, `@b.encode("base64rawurl")`, `@n.encode("hex")`,
	`"aGVsbG8=".decode("base64")`, `"aGVs\nbG8=".decode("base64")`, `"-_8".decode("base64rawurl")`, `"-_8=".decode("base64url")`, `"00ff".decode("hex")`, `"xyz".decode("hex")`, `"!".decode("base64")`,
	`"87cURDZ".decode("ascii85")`,
	`@mqtt_topic.escape_url_query()`, `@mqtt_topic.escape_url_path()`, `@mqtt_topic.escape_url_query().unescape_url_query()`, `@mqtt_topic.escape_url_path().unescape_url_path()`,
	`@mqtt_topic.re_match("dev-[0-9]+")`, `@b.re_match("a")`, `@n.re_match("7")`, `@mqtt_topic.re_find_all("[a-z]+")`, `@b.re_find_all("a|x")`, `@mqtt_topic.re_find_all("zzz")`,
	`@mqtt_topic.re_find_all_submatch("([a-z]+)-([0-9])")`, `@mqtt_topic.re_find_object("(?P<kind>[a-z]+)-([0-9])")`, `@mqtt_topic.re_find_object("zzz")`,
	`@mqtt_topic.re_replace_all("[^A-Za-z0-9/]", "_")`, `@mqtt_topic.re_replace_all("([a-z]+)-([0-9])", "$2-$1")`,
	`@n.string()`, `@b.string()`, `json("object").string()`, `json("list").string()`, `null.string()`, `1.5.string()`, `true.string()`, `json("big").string()`,
	`"2026-01-02T03:04:05.678Z".ts_format("20060102")`, `"2026-01-02T03:04:05.678Z".ts_format()`, `"2026-01-02T03:04:05Z".ts_unix()`, `"x".ts_format()`,
	// Methods of upstream.
	`@n.abs()`, `"true".bool()`, `"x".bool(false)`, `@mqtt_topic.capitalize()`, `json("none").catch("c")`, `json("none").or("o")`, `1.2.ceil()`, `1.8.floor()`, `1.5.round()`,
	`@mqtt_topic.contains("dev")`, `json("list").contains(2)`, `json("list").contains(9)`, `json("texts").contains("b")`, `json("texts").contains(@b)`, `json("object").contains(null)`, `@n.contains("7")`, `@b.contains("a")`, `json("list").contains("2")`, `json("list").contains(true)`, `json("texts").contains(1)`, `json("object").exists("a.b")`, `"1.5".float64()`, `"7".int64()`, `"7".number()`, `"x".number(3)`, `json("object").get("a.b")`,
	`@mqtt_topic.has_prefix("Site")`, `@mqtt_topic.has_suffix("x")`, `"a".hash("sha256").encode("hex")`, `"a".hash("xxhash64")`, `json("list").index(-1)`, `json("list").index(9)`,
	`@mqtt_topic.index_of("dev")`, `@mqtt_topic.length()`, `@mqtt_topic.lowercase()`, `@mqtt_topic.uppercase()`, `true.not()`, `"".not_empty()`, `json("none").not_null()`,
	`@mqtt_topic.slice(0, 4)`, `@mqtt_topic.slice(-4)`, `" a ".trim()`, `"xax".trim("x")`, `"xax".trim_prefix("x")`, `"xax".trim_suffix("x")`, `json("list").type()`,
	`json()`, `json("object.a.b")`, `json().object.a`, `content()`, `metadata("mqtt_topic")`, `meta("mqtt_topic")`, `throw("why")`,
	`if @n > 3 { "hot" } else { "cold" }`, `match @n { 7 => "seven", _ => "other" }`, `json("none") | "fallback"`, `1 / 0`, `1 % 0`, `-json("n") * 2`,
}

const sample = `{"list":[1,2,3],"texts":["a","b"],"object":{"a":{"b":"<c>"}},"n":4,"big":1e300,"from":"/","to":"::"}`

func TestAllowedMethodsMatchUpstream(t *testing.T) {
	ours, upstream := environment(t), bloblang.GlobalEnvironment()
	called := map[string]bool{}
	for _, text := range examples {
		require.NoError(t, Check("${! "+text+" }"), "%s", text)
		want, wantErr := evaluate(t, upstream, text, []byte(sample))
		got, err := evaluate(t, ours, text, []byte(sample))
		assert.Equal(t, wantErr != nil, err != nil, "%s: upstream %v, ours %v", text, wantErr, err)
		if wantErr == nil {
			assert.Equal(t, want, got, "%s", text)
		}
		for name := range methods {
			called[name] = called[name] || strings.Contains(text, "."+name+"(")
		}
		for name := range functions {
			called[name+"()"] = called[name+"()"] || strings.Contains(text, name+"(")
		}
	}
	for name := range methods {
		assert.True(t, called[name], "the method %s is not tested", name)
	}
	for _, name := range []string{"now", "timestamp_unix", "timestamp_unix_milli", "timestamp_unix_micro", "timestamp_unix_nano", "uuid_v4", "uuid_v7"} {
		v, err := evaluate(t, ours, name+"().string()", nil)
		require.NoError(t, err)
		assert.NotEmpty(t, v, name)
		called[name+"()"] = true
	}
	for name := range functions {
		assert.True(t, called[name+"()"], "the function %s is not tested", name)
	}
}

func TestTimesAreFormattedInUTCWithoutReadingFiles(t *testing.T) {
	got, err := evaluate(t, environment(t), `"2026-01-02T03:04:05+02:00".ts_format("15:04 MST")`, nil)
	require.NoError(t, err)
	assert.Equal(t, "01:04 UTC", got)
	_, err = evaluate(t, environment(t), `now().ts_format(format: "15", tz: "../../../etc/passwd")`, nil)
	require.Error(t, err)
}

func TestEnvironmentHasOnlyTheAllowedNames(t *testing.T) {
	env := environment(t)
	env.WalkFunctions(func(name string, _ *bloblang.FunctionView) { assert.Contains(t, functions, name) })
	env.WalkMethods(func(name string, _ *bloblang.MethodView) { assert.Contains(t, methods, name) })
	for _, text := range []string{`env("HOME")`, `file("/etc/passwd")`, `range(0, 3)`, `"a".repeat(2)`, `"a".bloblang("root = 1")`, `["a"].map_each(x -> x)`} {
		require.Error(t, env.CheckInterpolatedString("${! "+text+" }"), text)
		_, err := env.Parse("root = " + text)
		require.Error(t, err, text)
	}
	_, err := env.Parse(`import "/etc/passwd"`)
	assert.Error(t, err)
}

// hostilePayloads use much more memory than their length when they are parsed.
func hostilePayloads() map[string][]byte {
	fill := func(open, item, end string) []byte {
		return []byte(open + strings.TrimSuffix(strings.Repeat(item, (MaxContent-len(open)-len(end))/len(item)), ",") + end)
	}
	return map[string][]byte{
		"one letter":      fill("", "a", ""),
		"separators":      fill("", ",", ""),
		"invalid UTF-8":   fill("", "\xff", ""),
		"control":         fill("", "\x01", ""),
		"a text":          fill(`"`, "<", `"`),
		"numbers":         fill("[", "1,", "]"),
		"empty lists":     fill("[", "[],", "]"),
		"empty objects":   fill("[", "{},", "]"),
		"small objects":   fill("[", `{"":0},`, "]"),
		"deep lists":      []byte(strings.Repeat("[", 9990) + strings.Repeat("]", 9990)),
		"deep objects":    []byte(strings.Repeat(`{"a":`, 9990) + "1" + strings.Repeat("}", 9990)),
		"exponents":       fill("[", "1e20,", "]"),
		"deeper than Go ": []byte(strings.Repeat("[", MaxContent/2)),
	}
}

// Each of these ended the process, or would if a step had no limit.
var hostile = []string{
	`"a".replace_all("a", "aaaaaaaaaaaaaaaaaaaa").replace_all("a", "aaaaaaaaaaaaaaaaaaaa").replace_all("a", "aaaaaaaaaaaaaaaaaaaa").replace_all("a", "aaaaaaaaaaaaaaaaaaaa").replace_all("a", "aaaaaaaaaaaaaaaaaaaa")`,
	`content().replace_all("", content())`,
	`content().string().replace_all("a", content().string()).replace_all("a", content().string())`,
	`content().replace_all("a", "aa").replace_all("a", "aa").replace_all("a", "aa").replace_all("a", "aa").replace_all("a", "aa").replace_all("a", "aa")`,
	`content().split("").join(content().string()).split("").join(content().string())`,
	`content().split("a").join("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").split("a").join("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")`,
	`content()` + strings.Repeat(`.encode("hex")`, 16),
	`content()` + strings.Repeat(`.encode("base64")`, 13),
	`content()` + strings.Repeat(`.escape_url_query()`, 12),
	`content().string()` + strings.Repeat(`.escape_url_path()`, 12),
	`content().decode("ascii85").encode("hex")`,
	`content()` + strings.Repeat(`.uppercase().lowercase()`, 9),
	`content().slice(0, 16384).re_replace_all("", "` + strings.Repeat("a", 150) + `").string()`,
	`content().slice(0, 16384).re_replace_all("(.*)", "` + strings.Repeat("$1", 70) + `")`,
	`content().slice(0, 16384).re_find_all_submatch("()()()()()()()()()").string()`,
	`content().slice(0, 16384).re_find_all("(?:a|,){0,250}x|(.*?)").string()`,
	`content().re_match("a")`,
	`"%999999999d".format(1)`,
	`"%*d".format(1000000000, 1)`,
	`"%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s".format(content())`,
	`"%.999999999f".format(1.5)`,
	`"` + strings.Repeat("%q", 20) + `".format(` + strings.TrimSuffix(strings.Repeat("content(),", 17), ",") + `)`,
	`"%v".format(json())`, `"%q%q%q".format(json(), json(), json())`,
	`json().string().encode("hex").encode("hex").encode("hex").encode("hex")`,
	`json("*").contains(content())`, `json().contains(content().string())`, `content().split(",").contains(content())`,
	`json("*.*.*.*").string()`, `json().get("*").get("*").string()`, `json().exists("a.a.a.a.a")`,
	strings.TrimSuffix(strings.Repeat("content() + ", 20), " + "),
	strings.TrimSuffix(strings.Repeat("json() == ", 20), " == "),
	`json() == json()`, `json().contains(json())`,
	`content().string().contains(content().string())`,
	`content().index_of(content())`, `content().trim(content())`,
	`content().hash("sha512").encode("hex")` + strings.Repeat(`.hash("sha512").encode("hex")`, 5),
	`json().string().string().length()`, `content().number()`, `content().float64()`, `content().int64()`, `content().bool()`,
	`content().ts_format()`, `"2026-01-02T03:04:05Z".ts_format(content())`, `"2026-01-02T03:04:05Z".ts_format(content().string()).length()`,
	`json(content().string())`, `throw(content().string())`, `-9223372036854775807 / -1`, `-9223372036854775808 % -1`, `content().slice(9223372036854775807)`, `content().slice(-9223372036854775807, 1)`,
	`json().index(9223372036854775807)`, `json().index(-9223372036854775807)`,
}

func TestHostileExpressionsUseBoundedMemoryAndTime(t *testing.T) {
	env := environment(t)
	payloads := hostilePayloads()
	for _, text := range hostile {
		for name, payload := range payloads {
			require.LessOrEqual(t, len(payload), MaxContent, name)
			evaluateWithin(t, env, text, name, payload)
		}
	}
	t.Logf("the heaviest evaluation allocated %d MiB", heaviest>>20)
}

// heaviest is the most that one evaluation has allocated.
var heaviest uint64

func evaluateWithin(t testing.TB, env *bloblang.Environment, text, name string, payload []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	started := time.Now()
	v, err := evaluate(t, env, text, payload)
	took := time.Since(started)
	runtime.ReadMemStats(&after)
	work := after.TotalAlloc - before.TotalAlloc
	heaviest = max(heaviest, work)
	if work > maxWork {
		t.Errorf("%s on %s allocated %d MiB", text, name, work>>20)
	}
	// Only a step that never ends takes this long, even on a machine under load.
	if took > 20*time.Second {
		t.Errorf("%s on %s took %s", text, name, took)
	}
	if err == nil {
		if s := bloblang.ValueToString(v); len(s) > 20*MaxContent {
			t.Errorf("%s on %s gave %d bytes", text, name, len(s))
		}
	}
}

// Random expressions combine all steps of the grammar.
func TestRandomExpressionsStayWithinTheLimits(t *testing.T) {
	env := environment(t)
	payloads := hostilePayloads()
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	starts := []string{`content()`, `json()`, `json("*")`, `@mqtt_topic`, `@b`, `"a"`, `"%s%s"`, `""`, `1`, `null`, `now()`}
	steps := []string{
		`.replace_all("a", "aaaaaaaa")`, `.replace_all("", "ab")`, `.split("")`, `.split(",")`, `.join("aaaaaaaaaa")`, `.string()`, `.encode("hex")`, `.decode("ascii85")`,
		`.escape_url_query()`, `.re_replace_all(".", "$0$0")`, `.re_find_all(".")`, `.format(content(), json())`, `.uppercase()`, `.lowercase()`, `.capitalize()`, `.index(0)`,
		`.slice(0, 9000)`, `.trim("a")`, `.hash("sha256")`, `.ts_format()`, `.get("*")`, `.number()`, `.length()`, `.or(content())`, `.catch(content())`, `.contains(content())`,
	}
	rounds := 150
	if testing.Short() {
		rounds = 50
	}
	evaluated := 0
	names := make([]string, 0, len(payloads))
	for name := range payloads {
		names = append(names, name)
	}
	slices.Sort(names)
	for range rounds {
		text := pick(starts)
		for next := pick(steps); len(text)+len(next) < MaxLength-10 && random.IntN(12) > 0; next = pick(steps) {
			text += next
		}
		if Check("${! "+text+" }") != nil {
			continue
		}
		evaluated++
		name := pick(names)
		evaluateWithin(t, env, text, name, payloads[name])
	}
	assert.Greater(t, evaluated, rounds/2)
}

func TestChainedReplaceAllNamesItsLimit(t *testing.T) {
	_, err := evaluate(t, environment(t), hostile[0], nil)
	require.ErrorContains(t, err, fmt.Sprintf("a value in an expression may have at most %d", MaxValue))
	require.ErrorContains(t, err, "replace_all: ")
}

func FuzzCheckedExpressionsNeverPanic(f *testing.F) {
	for _, text := range append(slices.Clone(examples), hostile...) {
		f.Add(text, sample)
	}
	env := environment(f)
	f.Fuzz(func(t *testing.T, text, payload string) {
		field := "${! " + text + " }"
		if Check(field) != nil || len(payload) > MaxContent {
			return
		}
		if env.CheckInterpolatedString(field) == nil {
			evaluateWithin(t, env, text, "a fuzzed payload", []byte(payload))
		}
	})
}
