//go:build linux

package admin

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/audit"
)

// socketClient asks at a Unix socket.
func socketClient(t *testing.T, path string) func(method, target, body, token string) (int, string) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return func(method, target, body, token string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+target, strings.NewReader(body))
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := (&http.Client{Transport: transport}).Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
}

func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "sock") //nolint:usetesting // a socket's path must be short, and that of a test is not
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestASocketKnowsItsPeerAndRemovesItself(t *testing.T) {
	path := filepath.Join(shortDir(t), "api.sock")
	all, a := newHolders(t), newAuditing(t)
	s := newServer(t, newMemory(), Options{Listen: "unix:" + path, SocketMode: "0600", TokensFile: all.file, Audit: a.log})
	require.NoError(t, s.Listen())
	assert.Equal(t, path, s.Addr().String())
	info, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSocket|0o600, info.Mode())
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, files, 1, "nothing is left beside it")

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	ask := socketClient(t, path)
	me := fmt.Sprintf("uid:%d", os.Getuid())
	status, text := ask(http.MethodPost, PathCreate, definitionOf("c", `{"bootstrap_servers":"h:1","topic":"t","password":"hush-hush"}`), "")
	assert.Equal(t, 200, status, text)
	status, _ = ask(http.MethodPost, PathDelete, nameOf("c"), all.tokens["read"])
	assert.Equal(t, 403, status, "a token that is sent decides")
	status, _ = ask(http.MethodGet, PathList, "", "unknown")
	assert.Equal(t, 401, status)
	assert.Equal(t, []audit.Entry{
		{Actor: me, Address: "unix", Method: "POST", Route: PathCreate, Connector: "c", Revision: etag(1), Status: 200},
		{Actor: "read", Address: "unix", Method: "POST", Route: PathDelete, Connector: "c", Status: 403, Code: 100, Error: PathDelete + ` needs the role operate or admin, and "read" has the role read`},
		{Address: "unix", Method: "GET", Route: PathList, Status: 401, Code: 100, Error: "this needs the header Authorization: Bearer TOKEN with a token of --api-token-file or --api-tokens-file"},
	}, a.taken())

	// A second service is refused, and the first one goes on.
	second := newServer(t, newMemory(), Options{Listen: "unix:" + path})
	require.ErrorContains(t, second.Listen(), "listening for the admin API: "+path+" is in use: another process listens there")
	status, _ = ask(http.MethodGet, PathHealth, "", "")
	assert.Equal(t, 200, status)
	stop()
	require.NoError(t, <-ended)
	assert.NoFileExists(t, path)
}

func TestAStaleSocketIsReplacedAndNothingElse(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "api.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	require.FileExists(t, path)
	first, err := listenSocket(path, defaultSocketMode)
	require.NoError(t, err)

	// Who closes late does not remove the socket of the next one.
	require.NoError(t, os.Remove(path))
	second, err := listenSocket(path, defaultSocketMode)
	require.NoError(t, err)
	require.NoError(t, first.Close())
	assert.FileExists(t, path)
	require.NoError(t, second.Close())
	assert.NoFileExists(t, path)

	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err = listenSocket(path, defaultSocketMode)
	require.ErrorContains(t, err, path+" exists and is not a socket")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))
	_, err = listenSocket(filepath.Join(dir, "none", "api.sock"), defaultSocketMode)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// fromPeer is a request of a process of this uid.
func fromPeer(p peer) func(*http.Request) {
	return func(r *http.Request) { *r = *r.WithContext(context.WithValue(r.Context(), peerKey{}, p)) }
}

func TestWhatAPeerMayDoIsSaidByItsRole(t *testing.T) {
	all := newHolders(t)
	root, own, other, unknown := peer{0, true}, peer{os.Getuid(), true}, peer{4711, true}, peer{}
	for _, test := range []struct {
		role string
		peer peer
		want caller
	}{
		{"", root, caller{"uid:0", administrator, true}},
		{"", own, caller{fmt.Sprintf("uid:%d", os.Getuid()), administrator, true}},
		{"", other, caller{"uid:4711", anyone, false}},
		{"", unknown, caller{"uid:unknown", anyone, false}},
		{"", peer{overflowUID, true}, caller{"uid:65534", anyone, false}},
		{"read", root, caller{"uid:0", administrator, true}},
		{"read", other, caller{"uid:4711", reader, false}},
		{"operate", other, caller{"uid:4711", operator, false}},
		{"admin", other, caller{"uid:4711", administrator, true}},
		{"read", unknown, caller{"uid:unknown", reader, false}},
	} {
		for _, tokens := range []string{"", all.file} {
			s := newServer(t, newMemory(), Options{Listen: "unix:/x", SocketRole: test.role, TokensFile: tokens})
			openRoutes(s)
			r := httptest.NewRequest(http.MethodGet, PathList, nil)
			fromPeer(test.peer)(r)
			who, f := s.guard.identify(r)
			assert.Equal(t, test.want, who)
			assert.Equal(t, test.want.role == anyone, f != nil)
			status := func(path string) int {
				method := s.paths[path].method
				return ask(s.Handler(), method, path, map[bool]string{true: nameOf("c")}[method == http.MethodPost], fromPeer(test.peer)).Code
			}
			for path, route := range s.paths {
				want := http.StatusOK
				switch {
				case route.role == anyone:
				case test.want.role == anyone:
					want = http.StatusUnauthorized
				case test.want.role < route.role || route.payloads && !test.want.payloads:
					want = http.StatusForbidden
				}
				assert.Equal(t, want, status(path), "%s by %v with --socket-role %q", path, test.peer, test.role)
			}
		}
	}
	h := newServer(t, newMemory(), Options{Listen: "unix:/x"}).Handler()
	assert.Equal(t, "uid:4711 may not use this socket without a token: send the header Authorization: Bearer TOKEN, or start the service with --socket-role",
		refusal(t, ask(h, http.MethodGet, PathList, "", fromPeer(other))))
	assert.Contains(t, refusal(t, ask(h, http.MethodGet, PathList, "", fromPeer(unknown))), "the system does not tell who is at the other end")
}

func TestOptionsOfASocketAreJudged(t *testing.T) {
	for want, o := range map[string]Options{
		`listen: "unix:" lacks the path of the socket`:                                     {Listen: "unix:"},
		"listen: the path of the socket is 110 bytes long: at most 103 are allowed":        {Listen: "unix:" + strings.Repeat("x", 110)},
		"tls-cert-file: a Unix socket does not leave the machine":                          {Listen: "unix:/x", TLSCertFile: "c", TLSKeyFile: "k"},
		"insecure-no-auth does not apply to a Unix socket":                                 {Listen: "unix:/x", InsecureNoAuth: true},
		`socket-mode: "rw" is not a file mode; must be octal digits`:                       {Listen: "unix:/x", SocketMode: "rw"},
		`socket-mode: "1777" is not a file mode`:                                           {Listen: "unix:/x", SocketMode: "1777"},
		`socket-role: "root" is not a role; must be one of read, operate, admin`:           {Listen: "unix:/x", SocketRole: "root"},
		"socket-mode applies to a Unix socket only: give --listen unix:PATH, or remove it": {Listen: listening, SocketMode: "0660"},
		"socket-role applies to a Unix socket only: give --listen unix:PATH, or remove it": {Listen: listening, SocketRole: "read"},
		`listen: "nowhere" is not host:port: give e.g. 127.0.0.1:58080 or unix:/run/r`:     {Listen: "nowhere"},
	} {
		require.ErrorContains(t, o.Validate(), want)
	}
	for _, o := range []Options{{Listen: "unix:/x"}, {Listen: "unix:x", SocketMode: "0666", SocketRole: "admin"}, {Listen: "unix:/x", TokensFile: "f"}} {
		require.NoError(t, o.Validate())
	}
}

func TestASocketForEverybodyIsWarnedOf(t *testing.T) {
	for mode, warned := range map[string]bool{"0666": true, "0660": false} {
		var said strings.Builder
		s := newServer(t, newMemory(), Options{Listen: "unix:/x", SocketMode: mode, SocketRole: "operate", Logger: slog.New(slog.NewTextHandler(&said, nil))})
		s.warn()
		assert.Equal(t, warned, strings.Contains(said.String(), "Every user of this machine may change connectors, because of socket-mode and socket-role"), said.String())
	}
}
