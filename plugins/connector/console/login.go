package console

import (
	"crypto/subtle"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// visit is a request in a session.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	session *session
	holder  admin.Holder
}

// refreshHeader marks what a page asks for by itself.
const refreshHeader = "X-Refresh"

func isRefresh(r *http.Request) bool { return r.Header.Get(refreshHeader) != "" }

// inSession serves a page to those who have logged in, and the login to others. Where
// the API asks for no token, everybody gets a session.
func (c *Console) inSession(serve func(*visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		found := c.sessionOf(r)
		if found == nil && !c.api.AsksForToken() && r.Method == http.MethodGet && !isRefresh(r) {
			pass, _ := c.api.Login("")
			var id string
			id, found = c.sessions.begin(pass)
			setCookie(w, r, id)
		}
		if found == nil {
			c.askForLogin(w, r)
			return
		}
		holder, ok := c.api.Holder(found.pass)
		if !ok {
			c.sessions.remove(found)
			c.askForLogin(w, r)
			return
		}
		serve(&visit{w: w, r: r, session: found, holder: holder})
	}
}

func (c *Console) sessionOf(r *http.Request) *session {
	cookie, err := r.Cookie(cookieOf(r))
	if err != nil {
		return nil
	}
	return c.sessions.find(cookie.Value, isRefresh(r))
}

func (c *Console) askForLogin(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || isRefresh(r) || strings.HasPrefix(r.URL.Path, pathAPI) {
		c.fail(w, r, http.StatusUnauthorized, "the session has ended: log in again")
		return
	}
	to := pathLogin
	if r.URL.RequestURI() != root {
		to += "?to=" + urlEscape(r.URL.RequestURI())
	}
	redirect(w, r, to)
}

// loginForm is what the login page shows.
type loginForm struct {
	Error, FormToken, To string
}

// target is the page to go to after the login: one of the console.
func target(to string) string {
	if strings.HasPrefix(to, root) && !strings.ContainsAny(to, "\\\r\n") {
		return to
	}
	return root
}

func (c *Console) loginPage(w http.ResponseWriter, r *http.Request) {
	if !c.api.AsksForToken() {
		redirect(w, r, root)
		return
	}
	c.renderLogin(w, http.StatusOK, r.URL.Query().Get("to"), "")
}

func (c *Console) renderLogin(w http.ResponseWriter, status int, to, text string) {
	c.render(w, status, "login", page{
		Title: "Log in", Version: c.version, Body: loginForm{Error: text, FormToken: c.loginToken, To: target(to)},
	})
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.fail(w, r, http.StatusBadRequest, "reading the form: "+err.Error())
		return
	}
	to := target(r.PostForm.Get("to"))
	if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("form_token")), []byte(c.loginToken)) != 1 {
		c.renderLogin(w, http.StatusForbidden, to, "The page was older than the service. Try again.")
		return
	}
	// A right token waits too: whoever guesses must not learn it from the answer.
	if wait := c.attempts.wait(r.RemoteAddr); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		c.renderLogin(w, http.StatusTooManyRequests, to, fmt.Sprintf("Too many wrong tokens came from your address. Try again in %d seconds.", seconds))
		return
	}
	pass, ok := c.api.Login(r.PostForm.Get("token"))
	if !ok {
		c.attempts.failed(r.RemoteAddr)
		c.api.LoginRefused(w, r)
		c.log.Warn("A login to the console failed: the token is not accepted", "address", r.RemoteAddr)
		c.renderLogin(w, http.StatusUnauthorized, to, "This token is not accepted. It must be one of --api-token-file or --api-tokens-file.")
		return
	}
	if old := c.sessionOf(r); old != nil {
		c.sessions.remove(old)
	}
	id, _ := c.sessions.begin(pass)
	setCookie(w, r, id)
	redirect(w, r, to)
}

func (c *Console) logout(v *visit) {
	if !v.readForm(c) {
		return
	}
	c.sessions.remove(v.session)
	setCookie(v.w, v.r, "")
	redirect(v.w, v.r, pathLogin)
}

// readForm reads a form that a page of the session has sent, and answers any other.
func (v *visit) readForm(c *Console) bool {
	if err := v.r.ParseForm(); err != nil {
		c.fail(v.w, v.r, http.StatusBadRequest, "reading the form: "+err.Error())
		return false
	}
	if !v.session.owns(v.r.PostForm.Get("form_token")) {
		c.fail(v.w, v.r, http.StatusForbidden, errForm)
		return false
	}
	return true
}
