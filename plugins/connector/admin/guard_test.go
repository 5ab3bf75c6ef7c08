package admin

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const token = "correct-horse"

func tokenFile(t *testing.T, content string) string {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func bearer(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", value) }
}

func TestItIsClosedByDefault(t *testing.T) {
	for listen, loopback := range map[string]bool{
		"127.0.0.1:58080": true, "localhost:58080": true, "LOCALHOST:0": true, "[::1]:58080": true, "127.8.9.1:80": true,
		"[::ffff:127.0.0.1]:80": true,
		":58080":                false, "0.0.0.0:58080": false, "[::]:58080": false, "192.168.1.7:58080": false, "10.0.0.1:1": false,
		"gateway.example:58080": false, "localhost.example:58080": false, "[fe80::1%eth0]:58080": false,
	} {
		alone := Options{Listen: listen}.Validate()
		if loopback {
			require.NoError(t, alone, listen)
		} else {
			require.Error(t, alone, listen)
			assert.Contains(t, alone.Error(), "--api-token-file", listen)
		}
		assert.NoError(t, Options{Listen: listen, TokenFile: "token"}.Validate(), listen)
		assert.NoError(t, Options{Listen: listen, TokensFile: "tokens"}.Validate(), listen)
		assert.NoError(t, Options{Listen: listen, InsecureNoAuth: true}.Validate(), listen)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	good := tokenFile(t, token)
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"no address":               {Options{}, `listen: "" is not host:port`},
		"no port":                  {Options{Listen: "127.0.0.1"}, `listen: "127.0.0.1" is not host:port`},
		"an empty port":            {Options{Listen: "127.0.0.1:"}, "is not host:port"},
		"a token and none":         {Options{Listen: listening, TokenFile: good, InsecureNoAuth: true}, "conflict with each other"},
		"a certificate, no key":    {Options{Listen: listening, TLSCertFile: "c.pem"}, "tls-cert-file and tls-key-file need each other"},
		"a key, no certificate":    {Options{Listen: listening, TLSKeyFile: "k.pem"}, "tls-cert-file and tls-key-file need each other"},
		"no such certificate":      {Options{Listen: listening, TLSCertFile: "none.pem", TLSKeyFile: "none.pem"}, "reading tls-cert-file"},
		"tokens and none":          {Options{Listen: listening, TokensFile: good, InsecureNoAuth: true}, "api-tokens-file and insecure-no-auth conflict with each other"},
		"no such tokens file":      {Options{Listen: listening, TokensFile: "none"}, "reading api-tokens-file: open none"},
		"a list for one token":     {Options{Listen: listening, TokensFile: good}, "line 1: it must be a list of entries"},
		"no such token file":       {Options{Listen: listening, TokenFile: "none"}, "reading api-token-file: open none"},
		"an empty token file":      {Options{Listen: listening, TokenFile: tokenFile(t, " \n")}, "is empty: write a token into it"},
		"two lines of token":       {Options{Listen: listening, TokenFile: tokenFile(t, "one\ntwo\n")}, "must hold one word of printable ASCII"},
		"a token not of one word":  {Options{Listen: listening, TokenFile: tokenFile(t, "one two")}, "must hold one word"},
		"a token that is no ASCII": {Options{Listen: listening, TokenFile: tokenFile(t, "schlüssel")}, "must hold one word"},
	} {
		_, err := New(newMemory(), test.options)
		require.ErrorContains(t, err, test.want, name)
	}
}

func TestATokenIsAskedForEverywhereButOnProbes(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	h := newServer(t, newMemory(), Options{TokenFile: tokenFile(t, token+"\n"), Metrics: metrics}).Handler()
	for _, path := range []string{PathList, PathDetail, PathReady + "/x", PathReadyConnectors + "/", PathMetrics, "/nowhere", "/health/", "/Health"} {
		for _, given := range []string{
			"", "Bearer", "Bearer ", "Bearer correct-hors", "Bearer correct-horse2", "Basic correct-horse", "correct-horse",
		} {
			w := ask(h, http.MethodGet, path, "", bearer(given))
			assert.Equal(t, http.StatusUnauthorized, w.Code, "%s with %q", path, given)
			assert.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
			assert.NotContains(t, refusal(t, w), token)
		}
		w := ask(h, http.MethodGet, path, "", bearer("bearer correct-horse"))
		assert.NotEqual(t, http.StatusUnauthorized, w.Code, path)
	}
	assert.Equal(t, http.StatusOK, ask(h, http.MethodGet, PathHealth, "").Code)
}

// A page whose host name was made to resolve to 127.0.0.1 after it had loaded is
// of one origin with the API for the browser; the Host header is what remains.
func TestAReboundNameIsNotAnswered(t *testing.T) {
	h := newServer(t, newMemory(), Options{}).Handler()
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, name := range []string{"127.0.0.1:58080", "localhost:58080", "LocalHost:58080", "[::1]:58080"} {
		assert.Equal(t, http.StatusOK, ask(h, http.MethodGet, PathList, "", host(name)).Code, name)
	}
	for _, name := range []string{
		"evil.example:58080", "evil.example", "", "localhost", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:58080",
		"localhost.:58080", "127.0.0.1.nip.io:58080", "0.0.0.0:58080", "127.1:58080",
	} {
		w := ask(h, http.MethodGet, PathList, "", host(name))
		assert.Equal(t, http.StatusForbidden, w.Code, name)
		assert.Contains(t, refusal(t, w), "use localhost:58080")
		assert.Equal(t, http.StatusForbidden, ask(h, http.MethodGet, PathHealth, "", host(name)).Code, name)
	}

	// Browsers and curl leave the port of the scheme out.
	h = newServer(t, newMemory(), Options{Listen: "127.0.0.2:80"}).Handler()
	for _, name := range []string{"127.0.0.2", "127.0.0.2:80", "localhost"} {
		assert.Equal(t, http.StatusOK, ask(h, http.MethodGet, PathList, "", host(name)).Code, name)
	}

	// Elsewhere a token guards, and a server has more names than it knows.
	h = newServer(t, newMemory(), Options{Listen: ":58080", TokenFile: tokenFile(t, token)}).Handler()
	assert.Equal(t, http.StatusOK, ask(h, http.MethodGet, PathList, "", host("gateway.example:58080"), bearer("Bearer "+token)).Code)
}

// A browser sends a POST with a text/plain body to any site without asking first.
func TestAWebPageChangesNothing(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	from := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Content-Type", "text/plain")
			r.Header.Set(name, value)
		}
	}
	for _, page := range []func(*http.Request){
		from("Origin", "https://evil.example"), from("Origin", "null"), from("Origin", "http://localhost:3000"),
		from("Sec-Fetch-Site", "cross-site"), from("Sec-Fetch-Site", "same-site"),
	} {
		w := ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig), page)
		assert.Equal(t, http.StatusForbidden, w.Code)
		assert.Contains(t, refusal(t, w), "web pages of another origin")
	}
	assert.Empty(t, m.all)

	// A page that this address itself serves may, and so may what is no browser,
	// with any content type.
	for i, client := range []func(*http.Request){
		from("Origin", "http://"+listening), from("Sec-Fetch-Site", "same-origin"), from("User-Agent", "curl"),
		func(r *http.Request) { r.Header.Del("Content-Type") },
	} {
		read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf(string(rune('a'+i)), plainConfig), client))
	}
	assert.Len(t, m.all, 4)

	// Nor may another page's script read an answer.
	w := ask(h, http.MethodGet, PathList, "")
	assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	assert.Equal(t, "same-origin", w.Header().Get("Cross-Origin-Resource-Policy"))
	assert.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
}
