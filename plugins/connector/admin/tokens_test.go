package admin

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hashOf is the hash of a token as a file has it.
func hashOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

func TestAnEntryLetsItsTokenInAndHoldsItsHashAlone(t *testing.T) {
	text, entry, err := NewToken("grafana", "read", true)
	require.NoError(t, err)
	assert.Regexp(t, `^rmqc_[A-Za-z0-9_-]{43}$`, text)
	assert.Equal(t, fmt.Sprintf("- name: \"grafana\"\n  role: read\n  payloads: true\n  hash: %s\n", hashOf(text)), entry)
	other, _, err := NewToken("grafana", "read", true)
	require.NoError(t, err)
	assert.NotEqual(t, text, other)

	all, err := parseTokens([]byte(entry))
	require.NoError(t, err)
	require.Equal(t, []knownToken{{caller: caller{"grafana", reader, true}, sum: sha256.Sum256([]byte(text))}}, all)
	found, ok := findToken(all, text)
	assert.True(t, ok)
	assert.Equal(t, "grafana", found.name)
	_, ok = findToken(all, other)
	assert.False(t, ok)

	for want, call := range map[string][2]string{
		`name: "a b" is not a name`:                                       {"a b", "read"},
		`name: "" is not a name`:                                          {"", "read"},
		`name: "anonymous" stands for another caller`:                     {"anonymous", "read"},
		`role: "root" is not a role; must be one of read, operate, admin`: {"a", "root"},
		`role: "" is not a role`:                                          {"a", ""},
	} {
		_, _, err := NewToken(call[0], call[1], false)
		require.ErrorContains(t, err, want)
	}
}

func TestEveryFaultOfATokensFileIsNamedWithItsLine(t *testing.T) {
	hash := "hash: " + hashOf("x")
	entry := "- name: a\n  role: read\n  " + hash + "\n"
	for name, test := range map[string]struct{ text, want string }{
		"an empty file":         {"\n", "it is empty: make an entry with robustmq-connect token"},
		"no YAML":               {"- name: [\n", "line 1"},
		"a mapping":             {"name: a\n", "line 1: it must be a list of entries"},
		"an entry of one word":  {entry + "- word\n", "line 4: an entry must have the fields name, role, payloads, hash"},
		"an unknown field":      {"- name: a\n  rol: read\n", `line 2: "rol" is unknown: the fields are name, role, payloads, hash`},
		"a field given twice":   {"- name: a\n  name: b\n", "line 2: name is given twice"},
		"a list for a value":    {"- name: a\n  role: [read]\n", "line 2: role: it must be one value"},
		"no role":               {"- name: a\n  " + hash + "\n", "line 1: role is missing"},
		"no hash":               {"- name: a\n  role: read\n", "line 1: hash is missing"},
		"no name":               {"- role: read\n  " + hash + "\n", "line 1: name is missing"},
		"a bad name":            {"- name: a/b\n  role: read\n", `line 1: name: "a/b" is not a name`},
		"another caller's name": {"- name: api-token-file\n", `line 1: name: "api-token-file" stands for another caller`},
		"an unknown role":       {"- name: a\n  role: root\n", `line 2: role: "root" is not a role`},
		"payloads of a word":    {"- name: a\n  payloads: yes\n", `line 2: payloads: "yes" must be true or false`},
		"a hash of MD5":         {"- name: a\n  hash: 0cc175b9c0f1b6a831c399e269772661\n", "line 2: hash: it must be sha256: and 64 hexadecimal digits"},
		"a short hash":          {"- name: a\n  hash: sha256:0cc1\n", "line 2: hash: it must be"},
		"a token for a hash":    {"- name: a\n  hash: rmqc_secret-word\n", "line 2: hash: it must be"},
		"a name twice":          {entry + "- name: a\n  role: read\n  hash: " + hashOf("y") + "\n", `line 4: name: "a" is that of line 1 too`},
		"a hash twice":          {entry + "- name: b\n  role: read\n  " + hash + "\n", "line 4: hash: it is that of line 1 too"},
		"too many":              {strings.Repeat("- a\n", maxTokens+1), "line 1001: 1001 tokens are too many"},
	} {
		_, err := Options{TokensFile: tokenFile(t, test.text)}.readTokens()
		require.ErrorContains(t, err, test.want, name)
		require.ErrorContains(t, err, "reading api-tokens-file: ", name)
		assert.NotContains(t, err.Error(), "secret-word", name)
	}
	all, err := Options{TokensFile: tokenFile(t, "[]\n")}.readTokens()
	require.NoError(t, err)
	assert.Empty(t, all)

	open := tokenFile(t, entry)
	require.NoError(t, os.Chmod(open, 0o646))
	for _, options := range []Options{{TokensFile: open}, {TokenFile: open}} {
		_, err := options.readTokens()
		require.ErrorContains(t, err, "every user of this machine can write to "+open+": remove that permission with chmod o-w")
	}
	long := tokenFile(t, strings.Repeat(" ", maxTokensFile+1))
	_, err = Options{TokenFile: long}.readTokens()
	require.ErrorContains(t, err, "is over 1 MiB long")
}

func TestBothFilesLetTheirTokensIn(t *testing.T) {
	long, entry, err := NewToken("grafana", "read", false)
	require.NoError(t, err)
	short := entry + "- name: weak\n  role: admin\n  hash: " + hashOf("correct-pony") + "\n"
	h := newServer(t, newMemory(), Options{TokenFile: tokenFile(t, token), TokensFile: tokenFile(t, short)}).Handler()
	for _, good := range []string{token, long} {
		assert.Equal(t, http.StatusOK, ask(h, http.MethodGet, PathList, "", bearer("Bearer "+good)).Code)
	}
	w := ask(h, http.MethodGet, PathList, "", bearer("Bearer correct-pony"))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Contains(t, refusal(t, w), `the token "weak" is shorter than 48 characters, and could be guessed from its hash`)

	h = newServer(t, newMemory(), Options{TokensFile: tokenFile(t, "[]")}).Handler()
	for _, none := range []string{"", "Bearer", "Bearer " + long} {
		assert.Equal(t, http.StatusUnauthorized, ask(h, http.MethodGet, PathList, "", bearer(none)).Code)
	}
}
