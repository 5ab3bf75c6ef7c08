// Package console serves pages by which people watch and change the connectors of a
// service in a browser. The pages are made on the server; the script adds what only a
// browser can do, and without it they work too. Whatever a page shows or does goes
// through the admin API, in the name of who has logged in, so that roles, the audit log
// and the words of errors are those of the API.
package console

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// The paths of the pages.
const (
	root          = admin.PathConsole
	pathLogin     = root + "login"
	pathLogout    = root + "logout"
	pathConnector = root + "connector"
	pathAction    = root + "action"
	pathEdit      = root + "edit"
	pathValidate  = root + "validate"
	pathWorkers   = root + "workers"
	pathStatic    = root + "static/"
	pathAPI       = root + "api/" // the API's routes, by the session of a page
)

//go:embed static templates
var files embed.FS

// Options of a console.
type Options struct {
	API *admin.Server
	// Samples are all connectors as they stand now.
	Samples func() []connector.Sample
	Version string
	Logger  *slog.Logger // nil logs nothing
}

// Console is the handler of the pages.
type Console struct {
	api      *admin.Server
	log      *slog.Logger
	version  string
	sessions *sessions
	attempts *attempts
	history  *history
	routes   *http.ServeMux
	// loginToken is in the login form: a page of another origin cannot read it, and so
	// cannot log anybody in.
	loginToken string
}

// New makes a console. Run keeps its history.
func New(options Options) *Console {
	log := options.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Console{
		api: options.API, log: log, version: options.Version,
		sessions: newSessions(), attempts: newAttempts(),
		history:    newHistory(options.Samples),
		routes:     http.NewServeMux(),
		loginToken: rand.Text(),
	}
	c.routes.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { redirect(w, r, root) })
	c.routes.HandleFunc("GET "+strings.TrimSuffix(root, "/"), func(w http.ResponseWriter, r *http.Request) { redirect(w, r, root) })
	c.routes.HandleFunc("GET "+pathStatic, c.static)
	c.routes.HandleFunc("GET "+pathLogin, c.loginPage)
	c.routes.HandleFunc("POST "+pathLogin, c.login)
	c.routes.HandleFunc("POST "+pathLogout, c.inSession(c.logout))
	c.routes.HandleFunc("GET "+root+"{$}", c.inSession(c.overview))
	c.routes.HandleFunc("GET "+pathWorkers, c.inSession(c.workers))
	c.routes.HandleFunc("GET "+pathConnector, c.inSession(c.connector))
	c.routes.HandleFunc("GET "+pathAction, c.inSession(c.confirm))
	c.routes.HandleFunc("POST "+pathAction, c.inSession(c.act))
	c.routes.HandleFunc("GET "+pathEdit, c.inSession(c.edit))
	c.routes.HandleFunc("POST "+pathEdit, c.inSession(c.save))
	c.routes.HandleFunc("POST "+pathValidate, c.inSession(c.validate))
	c.routes.HandleFunc(pathAPI, c.inSession(c.forward))
	return c
}

// Run takes samples until ctx ends.
func (c *Console) Run(ctx context.Context) {
	beat := time.NewTicker(leastStep)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-beat.C:
			c.history.addPoints(now)
			c.sessions.sweep()
		}
	}
}

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	// Nothing of another host, nothing that stands in the page itself.
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	c.routes.ServeHTTP(w, r)
}

// maxForm is ample for a definition, each of its characters escaped.
const maxForm = 256 << 10

// forward answers a route of the API by the session of a page. What changes something
// carries the session's form token in a header.
func (c *Console) forward(v *visit) {
	if v.r.Method != http.MethodGet && !v.session.owns(v.r.Header.Get("X-Form-Token")) {
		c.fail(v.w, v.r, http.StatusForbidden, errForm)
		return
	}
	r := v.r.Clone(v.session.context(v.r.Context()))
	r.URL.Path = strings.TrimPrefix(r.URL.Path, strings.TrimSuffix(root, "/"))
	r.Header.Del("Authorization")
	r.Header.Del("Cookie")
	c.api.Call(v.w, r, v.session.pass)
}

const errForm = "the form is not from this session: load the page again"

func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	// The version is in the link, so that an upgrade is seen at once.
	if r.URL.Query().Get("v") == assets {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	r2 := r.Clone(r.Context())
	r2.URL.Path = strings.TrimPrefix(r.URL.Path, root)
	if strings.HasSuffix(r2.URL.Path, "/") {
		http.NotFound(w, r)
		return
	}
	http.FileServerFS(files).ServeHTTP(w, r2)
}

func redirect(w http.ResponseWriter, r *http.Request, to string) {
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// fail answers with a page that says what went wrong.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, status int, text string) {
	if strings.HasPrefix(r.URL.Path, pathAPI) || r.URL.Path == pathValidate || isRefresh(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = fmt.Fprintln(w, text) // the client is gone: nobody is left to tell
		return
	}
	c.render(w, status, "error", page{Title: http.StatusText(status), Version: c.version, Body: text})
}
