package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"

	"github.com/dustin/go-humanize"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// page is what every page has.
type page struct {
	Title   string
	Version string
	Body    any

	// Of a session.
	Who       string // who has logged in, "" where nobody has
	Role      string
	Open      string // how open an API without tokens is, "" where it asks for one
	FormToken string
	Flash     []message
	MayCreate bool
	Workers   bool // several share the connectors
}

var functions = template.FuncMap{
	"visible": visible, "short": short, "clock": clock, "age": ageText, "seconds": seconds, "rate": rate, "number": number,
	"size":  func(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) },
	"place": place, "labels": writeLabels, "workersOf": workersOf,
	"nth":    func(from0 int) int { return from0 + 1 }, // people count from 1
	"static": func(name string) string { return pathStatic + name + "?v=" + assets },
}

// Each page is the layout with a body of its own, and a fragment is a part of it.
var pages = readPages("error", "login", "overview", "connector", "confirm", "edit", "workers")

func readPages(names ...string) map[string]*template.Template {
	all := map[string]*template.Template{}
	for _, name := range names {
		all[name] = template.Must(template.New("layout.html").Funcs(functions).
			ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return all
}

// assets is the version of what is embedded.
var assets = func() string {
	sum := sha256.New()
	_ = fs.WalkDir(files, "static", func(path string, _ fs.DirEntry, _ error) error { // all of it is embedded
		if text, err := fs.ReadFile(files, path); err == nil {
			_, _ = sum.Write(text) // a hash takes everything
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)[:8])
}()

func (c *Console) render(w http.ResponseWriter, status int, name string, p page) {
	c.execute(w, status, name, "layout.html", p)
}

func (c *Console) execute(w http.ResponseWriter, status int, name, part string, data any) {
	var b bytes.Buffer
	if err := pages[name].ExecuteTemplate(&b, part, data); err != nil {
		c.log.Error("Writing a page of the console failed: report it", "page", name, "error", err)
		http.Error(w, "internal error: the service's log has its place", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone: nobody is left to tell
}

// showPage answers with a page of a session, or with the part of it that is asked for again.
func (v *visit) showPage(c *Console, status int, name, title string, body any) {
	if isRefresh(v.r) {
		part := "live"
		if v.r.Header.Get(refreshHeader) == "head" && name == "connector" {
			part = "head"
		}
		c.execute(v.w, status, name, part, body)
		return
	}
	p := page{
		Title: title, Version: c.version, Body: body, Who: v.holder.Name, Role: v.holder.Role,
		FormToken: v.session.formToken, Flash: c.sessions.takeFlash(v.session), MayCreate: v.may(c, pathCreate),
		Workers: c.api.HasWorkers() && v.may(c, admin.PathWorkers),
	}
	if !c.api.AsksForToken() {
		p.Who, p.Role = "", ""
		p.Open = "No login: this service asks for no token, and answers everybody who can reach it."
		if c.api.LocalOnly() {
			p.Open = "No login: this service asks for no token, and answers this machine alone."
		}
	}
	c.render(v.w, status, name, p)
}

// may tells whether the API has a route that who has logged in may call.
func (v *visit) may(c *Console, path string) bool { return c.api.May(v.session.pass, path) }

// oops answers with the error of a call.
func (v *visit) oops(c *Console, err error) {
	status := http.StatusBadGateway
	if why, ok := err.(*refusal); ok { //nolint:errorlint // call returns it as it is
		status = why.status
		if status == http.StatusOK {
			status = http.StatusNotFound // as RobustMQ answers what is not there
		}
	}
	c.fail(v.w, v.r, status, err.Error())
}
