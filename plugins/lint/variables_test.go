package lint

import (
	"context"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var testVariables = map[string]string{"SET": "value", "EMPTY": "", "LINES": "one\ntwo", "BASE64": "aGVsbG8=", "NESTED": "${SET}", "ESCAPED": "${{SET}}"}

func lookUp(name string) (string, bool) {
	value, ok := testVariables[name]
	return value, ok
}

// The engine's replacement cannot be called separately, so the test compares ours with
// it.
func TestVariablesAreReplacedAsTheEngineDoes(t *testing.T) {
	querier := service.NewEnvironment().CoreConfigSchema("", "").Field(service.NewStringField("text")).NewConfigQuerier()
	querier.SetEnvVarLookupFunc(func(_ context.Context, name string) (string, bool) { return lookUp(name) })
	for _, text := range []string{
		"plain", "${SET}", "a${SET}b${SET}c", "${SET:default}", "${EMPTY}", "${EMPTY:default}", "${UNSET:default}", "${UNSET:}",
		"${UNSET:${SET}}", "${UNSET:a:b}", "${{SET}}", "${{SET:default}}", "${{UNSET}}", "$${SET}", "${LINES}", "${BASE64|base64decode}",
		"${UNSET:aGVsbG8=|base64decode}", "${NESTED}", "${ESCAPED}", "${! @mqtt_topic }", "${!SET}", "${", "${}", "${SET", "${a-b}", "${a.b:c}",
		"${{a-b}}", "$SET", "é${SET}", "${SET}${{SET}}${UNSET:x}",
	} {
		file, err := querier.ParseYAML(`text: "` + text + `"`)
		require.NoError(t, err, text)
		field, err := file.FieldAtPath("text")
		require.NoError(t, err, text)
		want, err := field.FieldString()
		require.NoError(t, err, text)

		got, wrong := replaceVariables(`text: "`+text+`"`, "MARK", lookUp)
		assert.Empty(t, wrong, text)
		doc, err := parse(got, "MARK")
		require.NoError(t, err, text)
		assert.Equal(t, want, doc.root.member("text").value, text)
	}
}

func TestVariablesWithoutAValueAreMarked(t *testing.T) {
	for text, want := range map[string]string{
		"${UNSET}":                         "environment variable UNSET is not set; set it, or give it a default as ${UNSET:default}",
		"${SET|base64decode}":              "environment variable SET is not base64: illegal base64 data at input byte 4",
		"${SET|rot13}":                     "function rot13 after environment variable SET does not exist; use base64decode",
		"${UNSET:dmFsdWU=|base64}":         "function base64 after environment variable UNSET does not exist; use base64decode",
		"${BASE64|base64decode} ${UNSET}":  "environment variable UNSET is not set; set it, or give it a default as ${UNSET:default}",
		"${UNSET:a} ${SET} ${{SET}} ${NO}": "environment variable NO is not set; set it, or give it a default as ${NO:default}",
	} {
		got, wrong := replaceVariables(text, "MARK", lookUp)
		require.Len(t, wrong, 1, text)
		assert.Equal(t, want, wrong[0].what)
		assert.Equal(t, 1, wrong[0].at.line)
		assert.Contains(t, got.text, "MARK", text)
	}
}

func TestPositionsAreThoseOfTheOriginalText(t *testing.T) {
	got, _ := replaceVariables("é: ${SET}, ${UNSET:x} b\n${LINES} c ${UNSET:a\nb} d\ne\n", "MARK", lookUp)
	require.Equal(t, "é: value, x b\none\\ntwo c a\\nb d\ne\n", got.text)
	for new, original := range map[position]position{
		{1, 1}: {1, 1}, {1, 4}: {1, 4}, {1, 6}: {1, 4}, {1, 9}: {1, 10}, {1, 11}: {1, 12}, {1, 13}: {1, 23},
		{2, 1}: {2, 1}, {2, 10}: {2, 10}, {2, 15}: {2, 12}, {2, 17}: {3, 4}, {3, 1}: {4, 1},
	} {
		assert.Equal(t, original, got.source(new), "%v", new)
	}
}
