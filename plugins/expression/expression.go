// Package expression limits the interpolations, ${! … }, of untrusted definitions:
// which functions they may call, how they may be built, and how much memory and time
// one evaluation may use.
//
// A list of harmless functions is not enough, because they combine: four replace_all of
// 20 characters each expand one byte to 100 MB, and .(x -> x + x) doubles a value
// without any function. So there are limits in three places. Check accepts a small
// grammar in which a value is used once, where it is created: no this, no named
// context, no maps of elements. Environment has only the allowed functions and methods,
// and replaces those whose result may be much longer than their input. The component
// that evaluates a field applies MaxContent and MaxResult.
package expression

// The limits of one field.
const (
	// MaxLength is the length of the whole field in characters.
	MaxLength = 256
	// MaxContent is the size in bytes of the largest payload that an expression may
	// read. Parsed JSON uses up to 40 times its length.
	MaxContent = 256 << 10
	// MaxValue is the size in bytes of the largest value that any step may return.
	MaxValue = 256 << 10
	// MaxResult is the size in bytes of the largest result of a field. Each message of
	// a batch has one.
	MaxResult = 4 << 10

	// A regular expression needs time proportional to its text times its program.
	maxSubject  = 16 << 10 // bytes of text
	maxPattern  = 128      // characters
	maxProgram  = 512      // instructions
	maxGroups   = 9        // in a pattern
	maxPatterns = 4        // in a field

	maxDepth = 12 // of brackets, arguments and branches
)

// functions are those that an expression may call.
var functions = map[string]string{
	"content":              "the payload, as bytes",
	"json":                 "a value of a JSON payload: json(\"device.id\")",
	"metadata":             "a metadata value by its name: metadata(\"mqtt_topic\"), or @mqtt_topic",
	"meta":                 "metadata, by its old name",
	"now":                  "the time, as text by RFC 3339",
	"throw":                "fails the message with a reason, which the failure strategy handles",
	"timestamp_unix":       "the time in seconds since 1970",
	"timestamp_unix_micro": "the same in microseconds",
	"timestamp_unix_milli": "the same in milliseconds",
	"timestamp_unix_nano":  "the same in nanoseconds",
	"uuid_v4":              "a random UUID",
	"uuid_v7":              "a UUID that grows with time",
}

// methods are those that an expression may call.
var methods = map[string]string{
	"abs":                  "the number without its sign",
	"bool":                 "a text or a number as a boolean",
	"capitalize":           "each word with a capital letter",
	"catch":                "another value if something failed",
	"ceil":                 "the next whole number",
	"contains":             "whether a text or a list has a value",
	"decode":               "base64, hex and so on, decoded to bytes",
	"encode":               "bytes encoded as base64, hex and so on",
	"escape_url_path":      "text as a part of a URL's path",
	"escape_url_query":     "text as a part of a URL's query",
	"exists":               "whether an object has a path",
	"float64":              "a number",
	"floor":                "the whole number below",
	"format":               "\"%s-%d\".format(a, b): verbs %b %d %e %f %g %o %q %s %t %v %x %X, widths below 100",
	"get":                  "a value of an object by its path",
	"has_prefix":           "whether a text starts with another",
	"has_suffix":           "whether a text ends with another",
	"hash":                 "sha256, xxhash64, crc32 and so on of a text, as bytes",
	"index":                "a value of a list by its index, from the end if negative",
	"index_of":             "the position of a text in another, or -1",
	"int64":                "a whole number",
	"join":                 "the texts of a list as one",
	"length":               "how many bytes, items or members",
	"lowercase":            "the text in lower case",
	"not":                  "the opposite of a boolean",
	"not_empty":            "fails if a value is empty",
	"not_null":             "fails if there is no value",
	"number":               "a text as a number",
	"or":                   "another value if there is none or something failed",
	"re_find_all":          "the parts of a text that a regular expression matches",
	"re_find_all_submatch": "the same with the groups of each",
	"re_find_object":       "the first match, its groups by name",
	"re_match":             "whether a regular expression matches",
	"re_replace_all":       "the text with each match replaced",
	"replace_all":          "the text with each occurrence replaced",
	"round":                "the nearest whole number",
	"slice":                "a part of a text or a list",
	"split":                "the parts of a text, a list",
	"string":               "any value as text",
	"trim":                 "the text without white space, or given characters, around it",
	"trim_prefix":          "the text without that prefix",
	"trim_suffix":          "the text without that suffix",
	"ts_format":            "a time as text, by Go's reference time, in UTC: now().ts_format(\"20060102\")",
	"ts_unix":              "a time in seconds since 1970",
	"type":                 "the name of a value's type",
	"unescape_url_path":    "escape_url_path undone",
	"unescape_url_query":   "escape_url_query undone",
	"uppercase":            "the text in upper case",
}

// Reasons why functions or methods are refused.
const (
	reaches    = "it accesses the host that the service runs on"
	byElement  = "it evaluates a query for each element"
	multiplies = "its result may be many times longer than its input"
	parses     = "the parsed value may take many times its length in memory, or nest without limit"
	notText    = "it returns lists or objects, and a topic or a key is text"
	state      = "it keeps state beyond a message"
	otherParts = "it reads other messages of the batch"
	needless   = "topics and keys do not need it"
	oldName    = "it is an old name of another method"
	internal   = "it is for this program's own templates"
)

// refusedFunctions are the other functions of upstream, with the reason. A name in
// neither list is refused too, and a test of this package then fails, so that somebody
// has to decide.
var refusedFunctions = map[string][]string{
	reaches:    {"env", "file", "file_rel", "hostname"},
	multiplies: {"bytes", "nanoid", "range"},
	state:      {"count", "counter", "random_int", "snowflake_id", "var"},
	needless: {
		"batch_index", "batch_size", "deleted", "error", "error_source_label", "error_source_name", "error_source_path", "errored",
		"fake", "ksuid", "nothing", "pi", "root_meta", "tracing_id", "tracing_span", "ulid", "with_schema_registry_header",
	},
}

var refusedMethods = map[string][]string{
	reaches:   {"bloblang", "json_schema", "ts_tz", "uuid_v5"},
	byElement: {"all", "any", "apply", "filter", "find_all_by", "find_by", "fold", "map", "map_each", "map_each_key", "sort", "sort_by", "unique"},
	multiplies: {
		"compress", "explode", "format_json", "format_msgpack", "format_xml", "format_yaml", "pow", "quote", "repeat", "replace_all_many",
		"slug", "strip_html", "escape_html",
	},
	parses: {
		"decompress", "decrypt_aes", "encrypt_aes", "infer_schema", "json_path", "parse_csv", "parse_duration", "parse_duration_iso8601",
		"parse_form_url_encoded", "parse_json", "parse_logfmt", "parse_msgpack", "parse_parquet", "parse_url", "parse_xml", "parse_yaml",
		"ts_parse", "ts_strptime", "unescape_html", "unquote",
	},
	notText: {
		"append", "array", "assign", "collapse", "concat", "enumerated", "find", "find_all", "flatten", "key_values", "keys", "max", "merge",
		"min", "re_find_all_object", "squash", "sum", "unicode_segments", "values", "with", "without", "zip",
	},
	otherParts: {"from", "from_all"},
	needless: {
		"bitwise_and", "bitwise_or", "bitwise_xor", "bytes", "cos", "filepath_join", "filepath_split", "float32", "int16", "int32", "int8",
		"log", "log10", "reverse", "sin", "tan", "timestamp", "ts_add_iso8601", "ts_round", "ts_strftime", "ts_sub", "ts_sub_iso8601",
		"ts_unix_micro", "ts_unix_milli", "ts_unix_nano", "uint16", "uint32", "uint64", "uint8",
	},
	oldName: {
		"format_timestamp", "format_timestamp_strftime", "format_timestamp_unix", "format_timestamp_unix_micro",
		"format_timestamp_unix_milli", "format_timestamp_unix_nano", "parse_timestamp", "parse_timestamp_strptime", "re_replace",
		"replace", "replace_many",
	},
	internal: {"robustmq_checked", "robustmq_client_id", "robustmq_problems", "robustmq_type_problem"},
}

// Functions returns the allowed functions with their descriptions.
func Functions() map[string]string { return functions }

// Methods returns the allowed methods with their descriptions.
func Methods() map[string]string { return methods }

// Refused reports whether a function or a method is explicitly refused, and why.
func Refused(kind Kind, name string) (why string, ok bool) {
	lists := refusedMethods
	if kind == Function {
		lists = refusedFunctions
	}
	for why, names := range lists {
		for _, n := range names {
			if n == name {
				return why, true
			}
		}
	}
	return "", false
}

// Kind distinguishes functions from methods.
type Kind int

// The kinds of names.
const (
	Function Kind = iota
	Method
)

func (k Kind) String() string {
	if k == Function {
		return "function"
	}
	return "method"
}

func (k Kind) allowed() map[string]string {
	if k == Function {
		return functions
	}
	return methods
}
