package control

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheTokenGoesWithEveryRequest(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"list": gives(emptyList), "delete": gives(successAnswer)})
	token := writeFile(t, t.TempDir(), "token", "from-file\n")
	last := func(args ...string) string {
		_, _, err := runMQTT("", append([]string{"--server", server.URL}, args...)...)
		require.NoError(t, err)
		calls := server.asked()
		return calls[len(calls)-1].token
	}
	assert.Empty(t, last("connector", "list"))
	assert.Equal(t, "Bearer from-file", last("connector", "list", "--api-token-file", token))
	assert.Equal(t, "Bearer from-file", last("--api-token-file", token, "connector", "delete", "-c", "a"))
	t.Setenv(tokenVariable, "from-environment")
	assert.Equal(t, "Bearer from-environment", last("connector", "list"))
	assert.Equal(t, "Bearer from-file", last("connector", "list", "--api-token-file", token))
}

func TestATokenFollowsNoRedirect(t *testing.T) {
	noEnvironment(t)
	t.Setenv(tokenVariable, "t0ken")
	elsewhere := newScripted(t, map[string]http.HandlerFunc{"list": gives(emptyList)})
	server := newScripted(t, map[string]http.HandlerFunc{"list": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}})
	_, _, err := runMQTT("", "--server", server.URL, "connector", "list")
	require.ErrorContains(t, err, "307 Temporary Redirect")
	assert.Empty(t, elsewhere.asked())
}

func TestTLSTrustsWhatTheUserNames(t *testing.T) {
	noEnvironment(t)
	server := httptest.NewTLSServer(gives(emptyList))
	t.Cleanup(server.Close)
	ca := writeFile(t, t.TempDir(), "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	_, _, err := runMQTT("", "--server", server.URL, "connector", "list", "--ca-file", ca)
	require.NoError(t, err)
	_, _, err = runMQTT("", "--server", server.URL, "connector", "list")
	require.ErrorContains(t, err, "name the authority that signed it by --ca-file")
}

func TestAnAnswerThatIsNoneIsExplained(t *testing.T) {
	noEnvironment(t)
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }
	}
	for want, answer := range map[string]http.HandlerFunc{
		"answered 200 OK: \"<html>\": check that --server leads to an admin API": gives("<html>\n<body>"),
		"answered 200 OK: \"{}\": check that --server":                           gives("{}"),
		"502 Bad Gateway: \"bad gateway\"":                                       status(http.StatusBadGateway, "bad gateway"),
		"give the server's token by --api-token-file or ROBUSTMQ_API_TOKEN":      status(http.StatusUnauthorized, ""),
		"404 Not Found: its admin API, if it is one, does not have this command": status(http.StatusNotFound, ""),
		"code 100 and gave no reason":                                            gives(`{"code":100,"data":"","error":null}`),
		"reading the answer of":                                                  gives(`{"code":0,"data":7,"error":null}`),
	} {
		server := newScripted(t, map[string]http.HandlerFunc{"list": answer})
		stdout, _, err := runMQTT("", "--server", server.URL, "connector", "list")
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
		assert.Empty(t, stdout)
	}
}

func TestAServerThatCannotBeReachedIsExplained(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, nil)
	_, _, err := runMQTT("", "--server", strings.Replace(server.URL, "http:", "https:", 1), "connector", "list")
	require.ErrorContains(t, err, "write http:// in --server")
	server.Close()
	_, _, err = runMQTT("", "--server", server.URL, "connector", "list")
	require.ErrorContains(t, err, "connection refused: start the server with robustmq-connect serve, or name another by --server")

	// Without a flag it is RobustMQ's own address.
	t.Setenv(serverVariable, "ftp://a:1")
	_, _, err = runMQTT("", "connector", "list")
	require.ErrorContains(t, err, "by http or https, not by ftp")
}
