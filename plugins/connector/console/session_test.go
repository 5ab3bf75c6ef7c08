package console

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func TestWithoutALoginEveryPageLeadsToIt(t *testing.T) {
	r := newRig(t, withTokens(t))
	r.add("c", plainConfig)
	for _, page := range []string{root, pathConnector + "?name=c", pathEdit, pathAction + "?name=c&verb=delete"} {
		w := r.get(page)
		assert.Equal(t, http.StatusSeeOther, w.Code, page)
		assert.True(t, strings.HasPrefix(w.Header().Get("Location"), pathLogin), page)
		assert.NotContains(t, w.Body.String(), "localhost:9092")
	}
	w := r.get("/")
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, root, w.Header().Get("Location"))
	for _, page := range []string{pathAction, pathEdit, pathValidate, pathLogout, pathAPI + "cluster/connector/delete"} {
		assert.Equal(t, http.StatusUnauthorized, r.send(page, url.Values{"name": {"c"}, "verb": {"delete"}}).Code, page)
	}
	assert.Equal(t, http.StatusUnauthorized, r.get(pathAPI+"cluster/connector/list").Code)
	assert.Empty(t, r.fleet.changes())
}

func TestALoginGivesACookieForTheConsoleThatIsNotTheToken(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, withTokens(t))
		r.secure = secure
		w := r.login(goodToken)
		require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
		assert.Equal(t, root, w.Header().Get("Location"))
		require.Len(t, w.Result().Cookies(), 1)
		cookie := w.Result().Cookies()[0]
		assert.Equal(t, "robustmq_connect_console_58080", cookie.Name)
		assert.Equal(t, "/console/", cookie.Path)
		assert.True(t, cookie.HttpOnly)
		assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
		assert.Equal(t, secure, cookie.Secure)
		assert.Empty(t, cookie.Domain)
		assert.Zero(t, cookie.MaxAge)
		assert.GreaterOrEqual(t, len(cookie.Value), 40)
		assert.NotContains(t, cookie.Value, goodToken)
		page := r.get(root)
		assert.Equal(t, http.StatusOK, page.Code)
		assert.NotContains(t, page.Body.String(), goodToken)
		assert.NotContains(t, page.Body.String(), cookie.Value)
	}
}

func TestAWrongTokenIsRefusedAndCostsAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withTokens(t))
		for i := range maxAttempts {
			w := r.login("wrong")
			assert.Equal(t, http.StatusUnauthorized, w.Code, i)
			assert.Contains(t, w.Body.String(), "This token is not accepted.")
			assert.Empty(t, w.Result().Cookies())
		}
		// The right one waits too.
		w := r.login(goodToken)
		assert.Equal(t, http.StatusTooManyRequests, w.Code)
		assert.Equal(t, "15", w.Header().Get("Retry-After"))
		assert.Contains(t, w.Body.String(), "Try again in 15 seconds.")
		assert.Empty(t, w.Result().Cookies())

		other := r.send(pathLogin, url.Values{"token": {goodToken}}, func(q *http.Request) { q.RemoteAddr = "192.0.2.9:1" })
		assert.Equal(t, http.StatusSeeOther, other.Code, "another address is not kept out")
		r.cookie = nil
		time.Sleep(attemptTime)
		assert.Equal(t, http.StatusUnauthorized, r.login("wrong").Code)
		assert.Equal(t, http.StatusTooManyRequests, r.login(goodToken).Code, "one attempt has come back, and no more")
		time.Sleep(attemptTime)
		assert.Equal(t, http.StatusSeeOther, r.login(goodToken).Code)
	})
}

func TestAttemptsOfManyAddressesTakeBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts()
		for i := range maxAddresses + 500 {
			a.failed(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
		}
		assert.LessOrEqual(t, len(a.used), maxAddresses+1)
		assert.Positive(t, a.wait("203.0.113.1:1"), "those who find no place share one")
		for range maxAttempts {
			a.failed("[2001:db8::1]:1")
		}
		time.Sleep(time.Hour * 24)
		assert.Zero(t, a.wait("203.0.113.1:1"))
		a.failed("203.0.113.1:1")
		assert.LessOrEqual(t, len(a.used), 1, "what has come back is forgotten")
		for range maxAttempts {
			a.failed("[2001:db8::1]:1")
		}
		assert.Positive(t, a.wait("[2001:db8::ffff:2]:9"), "a network of IPv6 is one address")
		assert.Zero(t, a.wait("[2001:db8:0:1::1]:9"))
	})
}

func TestASessionEndsWhenNobodyUsesItAndAfterTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := loggedIn(t, withTokens(t))
		refresh := func(q *http.Request) { q.Header.Set(refreshHeader, "1") }
		for range 5 {
			time.Sleep(6*time.Minute - time.Second)
			assert.Equal(t, http.StatusOK, r.ask(http.MethodGet, root, "", refresh).Code)
		}
		time.Sleep(5 * time.Second)
		assert.Equal(t, http.StatusUnauthorized, r.ask(http.MethodGet, root, "", refresh).Code, "what a page asks for by itself keeps nothing alive")
		assert.Equal(t, http.StatusSeeOther, r.get(root).Code)

		r.cookie = nil
		require.Equal(t, http.StatusSeeOther, r.login(goodToken).Code)
		began := time.Now()
		for time.Since(began) < longestTime-time.Minute {
			time.Sleep(20 * time.Minute)
			if time.Since(began) < longestTime {
				require.Equal(t, http.StatusOK, r.get(root).Code, time.Since(began))
			}
		}
		time.Sleep(longestTime - time.Since(began))
		assert.Equal(t, http.StatusSeeOther, r.get(root).Code)
		assert.Empty(t, r.console.sessions.all)
	})
}

func TestALogoutEndsTheSessionAndWhatIsOpenInIt(t *testing.T) {
	r := loggedIn(t, withTokens(t))
	var open *session
	for _, one := range r.console.sessions.all {
		open = one
	}
	stream := open.context(t.Context())
	old := *r.cookie
	w := r.send(pathLogout, nil)
	assert.Equal(t, http.StatusSeeOther, w.Code)
	require.Len(t, w.Result().Cookies(), 1)
	assert.Negative(t, w.Result().Cookies()[0].MaxAge)
	<-stream.Done()
	r.cookie = &old
	assert.Equal(t, http.StatusSeeOther, r.get(root).Code, "the cookie is worth nothing any more")
}

func TestALoginMakesANewSessionAndEndsTheOldOne(t *testing.T) {
	r := loggedIn(t, withTokens(t))
	old := *r.cookie
	require.Equal(t, http.StatusSeeOther, r.login(goodToken).Code)
	assert.NotEqual(t, old.Value, r.cookie.Value)
	assert.Len(t, r.console.sessions.all, 1)
	r.cookie = &http.Cookie{Name: old.Name, Value: "chosen-by-somebody-else"}
	require.Equal(t, http.StatusSeeOther, r.login(goodToken).Code)
	assert.NotEqual(t, "chosen-by-somebody-else", r.cookie.Value)
}

func TestASessionDiesWithItsToken(t *testing.T) {
	options := withTokens(t)
	r := loggedIn(t, options)
	require.NoError(t, os.WriteFile(options.TokenFile, []byte("another-token-of-the-tests"), 0o600))
	// A pass of one server is of nobody where the token is not known.
	other, err := admin.New(r.fleet, admin.Options{Listen: listening, TokenFile: options.TokenFile})
	require.NoError(t, err)
	r.console.api = other
	other.Mount(r.console)
	r.api = other
	assert.Equal(t, http.StatusSeeOther, r.get(root).Code)
	assert.Empty(t, r.console.sessions.all)
}

func TestTheCookieCountsForTheConsoleAndNotForTheAPI(t *testing.T) {
	r := loggedIn(t, withTokens(t))
	r.add("c", plainConfig)
	assert.Equal(t, http.StatusUnauthorized, r.get(admin.PathList).Code)
	body := `{"tenant":"default","connector_name":"c"}`
	w := r.ask(http.MethodPost, admin.PathDelete, body, func(q *http.Request) { q.Header.Set("X-Form-Token", r.form) })
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Empty(t, r.fleet.changes())
}

func TestWhatChangesSomethingNeedsTheFormTokenOfTheSession(t *testing.T) {
	r := loggedIn(t, withTokens(t))
	r.add("c", plainConfig)
	other := loggedIn(t, withTokens(t))
	for name, token := range map[string]string{"none": "", "of another session": other.form, "of the login": r.console.loginToken} {
		for _, path := range []string{pathAction, pathEdit, pathValidate, pathLogout} {
			w := r.send(path, url.Values{"form_token": {token}, "name": {"c"}, "verb": {"delete"}, "do": {"save"}})
			assert.Equal(t, http.StatusForbidden, w.Code, "%s, token %s", path, name)
		}
		w := r.ask(http.MethodPost, pathAPI+"cluster/connector/delete", `{"tenant":"default","connector_name":"c"}`,
			func(q *http.Request) { q.Header.Set("X-Form-Token", token) })
		assert.Equal(t, http.StatusForbidden, w.Code, name)
	}
	assert.Empty(t, r.fleet.changes())
	assert.Equal(t, http.StatusForbidden, newRig(t, withTokens(t)).send(pathLogin, url.Values{"token": {goodToken}}).Code)

	w := r.ask(http.MethodPost, pathAPI+"cluster/connector/delete", `{"tenant":"default","connector_name":"c"}`,
		func(q *http.Request) { q.Header.Set("X-Form-Token", r.form) })
	assert.Equal(t, http.StatusOK, w.Code, w.Body)
	assert.Equal(t, []string{"delete c"}, r.fleet.changes())
}

func TestPagesOfAnotherOriginOrHostAreNotAnswered(t *testing.T) {
	r := loggedIn(t, withTokens(t))
	r.add("c", plainConfig)
	deleting := url.Values{"name": {"c"}, "verb": {"delete"}}
	for name, change := range map[string]func(*http.Request){
		"another site":    func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another port":    func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-site") },
		"an older one":    func(q *http.Request) { q.Header.Set("Origin", "http://evil.example") },
		"a sandbox":       func(q *http.Request) { q.Header.Set("Origin", "null") },
		"a name rebound":  func(q *http.Request) { q.Host = "evil.example:58080" },
		"a name and port": func(q *http.Request) { q.Host = "evil.example" },
	} {
		w := r.send(pathAction, deleting, change)
		assert.Equal(t, http.StatusForbidden, w.Code, name)
	}
	for _, path := range []string{"/", root, pathLogin, pathStatic + "console.js"} {
		w := r.ask(http.MethodGet, path, "", func(q *http.Request) { q.Host = "evil.example:58080" })
		assert.Equal(t, http.StatusForbidden, w.Code, path)
	}
	assert.Empty(t, r.fleet.changes())
	w := r.send(pathAction, deleting, func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-origin") })
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, []string{"delete c"}, r.fleet.changes())
}

func TestALoginLeadsToAPageOfTheConsoleAlone(t *testing.T) {
	for to, wanted := range map[string]string{
		"":                      root,
		"/console/edit?name=c":  "/console/edit?name=c",
		"https://evil.example/": root,
		"//evil.example/":       root,
		`/console/\evil`:        root,
		"/console/\r\nX: y":     root,
		"javascript:alert(1)":   root,
		"/api/cluster":          root,
	} {
		r := newRig(t, withTokens(t))
		r.get(pathLogin + "?to=" + url.QueryEscape(to))
		w := r.send(pathLogin, url.Values{"token": {goodToken}, "to": {to}})
		assert.Equal(t, http.StatusSeeOther, w.Code)
		assert.Equal(t, wanted, w.Header().Get("Location"), to)
	}
}

func TestEveryAnswerOfTheConsoleForbidsWhatItDoesNotNeed(t *testing.T) {
	r := loggedIn(t, withTokens(t))
	r.add("c", plainConfig)
	for _, path := range []string{
		"/", root, pathLogin, pathEdit, pathConnector + "?name=c", pathConnector + "?name=none", root + "nothing",
		pathAction + "?name=c&verb=pause", pathStatic + "console.js", pathStatic + "console.css", pathStatic + "icon.svg",
	} {
		h := r.get(path).Header()
		policy := h.Get("Content-Security-Policy")
		assert.Contains(t, policy, "default-src 'none'", path)
		assert.Contains(t, policy, "frame-ancestors 'none'", path)
		assert.Contains(t, policy, "base-uri 'none'", path)
		assert.Contains(t, policy, "form-action 'self'", path)
		assert.NotContains(t, policy, "unsafe", path)
		assert.NotContains(t, policy, "http", path)
		assert.NotContains(t, policy, "*", path)
		assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		assert.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
		assert.Equal(t, "same-origin", h.Get("Referrer-Policy"), path)
		assert.Equal(t, "no-store", h.Get("Cache-Control"), path)
		assert.Empty(t, h.Get("Access-Control-Allow-Origin"), path)
	}
	assert.Contains(t, r.get(pathStatic+"console.js?v="+assets).Header().Get("Cache-Control"), "immutable")
	assert.Equal(t, http.StatusNotFound, r.get(pathStatic).Code, "folders are not listed")
	assert.Equal(t, http.StatusNotFound, r.get(root+"templates/layout.html").Code)
}

func TestWithoutATokenThereIsNoLoginAndThePageSaysSo(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.add("c", plainConfig)
	w := r.get(root)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, w.Body.String(), "No login: this service asks for no token, and answers this machine alone.")
	assert.NotContains(t, w.Body.String(), "Log out")
	assert.Equal(t, http.StatusSeeOther, r.get(pathLogin).Code)
	r.get(pathAction + "?name=c&verb=pause")
	assert.Equal(t, http.StatusSeeOther, r.send(pathAction, url.Values{"name": {"c"}, "verb": {"pause"}}).Code)
	assert.Equal(t, []string{"pause c"}, r.fleet.changes())

	open := newRig(t, admin.Options{Listen: "0.0.0.0:58080", InsecureNoAuth: true})
	assert.Contains(t, open.get(root).Body.String(), "answers everybody who can reach it.")
}

func TestSessionsAreBounded(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.get(root)
	mine := r.cookie
	for range maxSessions + 10 {
		r.cookie = nil
		r.get(root)
	}
	assert.Len(t, r.console.sessions.all, maxSessions)
	r.cookie = mine
	w := r.get(root)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.NotEqual(t, mine.Value, r.cookie.Value, "the one that was used the longest ago made room")
}

func TestWithoutAConsoleItsPagesAreNotThere(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.api.Mount(nil)
	for _, path := range []string{"/", root, pathLogin} {
		assert.Equal(t, http.StatusNotFound, r.get(path).Code)
	}
}
