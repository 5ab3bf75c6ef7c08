package control

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

func TestReferencesAreResolvedInEveryText(t *testing.T) {
	t.Setenv("A", "of the environment")
	t.Setenv("B_2", `a "quoted" \ value`)
	dir := t.TempDir()
	writeFile(t, dir, "FILE", "-----BEGIN KEY-----\nline\n-----END KEY-----\n")
	writeFile(t, dir, "A", "of the file\r\n")
	resolve := func(r references, text string) string {
		t.Helper()
		raw, err := json.Marshal(map[string]any{"a": []any{text, 1}, "${A}": true})
		require.NoError(t, err)
		resolved, err := r.resolve("config", raw)
		require.NoError(t, err, text)
		var v map[string]any
		require.NoError(t, json.Unmarshal(resolved, &v))
		require.Contains(t, v, "${A}", "a name is no text")
		return v["a"].([]any)[0].(string)
	}
	for text, want := range map[string]string{
		"${A}":                  "of the environment",
		"x${A}y${B_2}":          `xof the environmenty` + `a "quoted" \ value`,
		`{"x":"${A}"}`:          `{"x":"of the environment"}`,
		`{"x":${A}}`:            `{"x":of the environment}`,
		"${{A}}":                "${A}",
		"${{{A}}}":              "${{A}}",
		"${{A}":                 "${{A}",
		"$A {A} $ {A} ${} ${1}": "$A {A} $ {A} ${} ${1}",
		`${! @mqtt_topic }`:     `${! @mqtt_topic }`,
		"${A:-default}":         "${A:-default}",
	} {
		assert.Equal(t, want, resolve(references{}, text), text)
	}
	assert.Equal(t, "of the file", resolve(references{dir}, "${A}"), "what is given by a flag comes first")
	assert.Equal(t, "-----BEGIN KEY-----\nline\n-----END KEY-----", resolve(references{dir}, "${FILE}"))
	assert.Equal(t, `a "quoted" \ value`, resolve(references{dir}, "${B_2}"))
}

func TestAReferenceThatCannotBeResolvedNamesItsField(t *testing.T) {
	t.Setenv("EMPTY", "")
	dir := t.TempDir()
	writeFile(t, dir, "BLANK", "\n")
	writeFile(t, dir, "LONG", strings.Repeat("x", cli.MaxSecretFile+1))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "FOLDER"), 0o700))
	for name, want := range map[string]string{
		"NO_SUCH_NAME": "it is neither a file in --secrets-dir " + dir + " nor an environment variable",
		"EMPTY":        "it is empty: give it a value",
		"BLANK":        "it is empty: give it a value",
		"LONG":         "its file in --secrets-dir " + dir + " is over 64 KiB long",
		"FOLDER":       "reading it from --secrets-dir " + dir + ": is a directory",
	} {
		_, err := references{dir}.resolve("config", json.RawMessage(`{"sasl":[{"password":"${`+name+`}"}]}`))
		require.EqualError(t, err, "config.sasl.0.password: ${"+name+"}: "+want)
	}
	_, err := references{}.resolve("topic_name", json.RawMessage(`"${NO_SUCH_NAME}"`))
	require.EqualError(t, err, "topic_name: ${NO_SUCH_NAME}: the environment has no such variable: set it, or give a folder with a file of that name by --secrets-dir")
}

// What get prints must not be taken for references, whatever it is.
func FuzzEscapeIsTheInverseOfResolve(f *testing.F) {
	for _, text := range []string{"${A}", "${{A}}", "${{A}", "${A}}", "${{{A}}", "$${A}", "${A}${B}", "${! x }", "$", "${{{{A}}}}}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := json.Marshal(text)
		require.NoError(t, err)
		escaped, err := escape(raw)
		require.NoError(t, err)
		back, err := references{}.resolve("config", escaped)
		require.NoError(t, err, "%s", escaped)
		assert.JSONEq(t, string(raw), string(back))
	})
}
