package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// A console stands beside the API and calls it for people. It sends no token with each
// call, but a pass that it got for one.

// PathConsole is below which a console has its pages. It has / too.
const PathConsole = "/console/"

// Pass lets who gave a token call the API without sending the token again. It ends when
// the token is not accepted any more. The zero value is of nobody.
type Pass struct {
	sum  [sha256.Size]byte
	open bool // no token was asked for
}

// Holder is who has a pass.
type Holder struct {
	Name, Role string
}

// Mount lets pages answer at / and below PathConsole. It is called before Serve. The
// Host and the Origin of each request are judged first, as those of the API are. At a
// Unix socket, whose peers are known by their user, there are no pages: what forwards
// browsers to it would act for all of them.
func (s *Server) Mount(pages http.Handler) { s.pages = pages }

func (s *Server) hasPage(path string) bool {
	return s.pages != nil && !s.guard.socket && (path == "/" || path == strings.TrimSuffix(PathConsole, "/") || strings.HasPrefix(path, PathConsole))
}

func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	if _, f := s.guard.admit(r, route{role: anyone}); f != nil {
		s.record(w, r, request{refused: true}, f)
		writeFailure(w, f)
		return
	}
	s.pages.ServeHTTP(w, r)
}

// AsksForToken tells whether the API lets nobody in without a token.
func (s *Server) AsksForToken() bool { return s.guard.tokens != nil }

// LocalOnly tells whether the API answers its own machine alone.
func (s *Server) LocalOnly() bool { return s.guard.hosts != nil }

// Login gives the pass of a token. Where no token is asked for, any text will do.
func (s *Server) Login(token string) (Pass, bool) {
	if !s.AsksForToken() {
		return Pass{open: true}, true
	}
	r := &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
	if _, f := s.guard.identify(r); f != nil {
		return Pass{}, false
	}
	return Pass{sum: sha256.Sum256([]byte(strings.TrimSpace(token)))}, true
}

// LoginRefused records a login with a token that is not accepted.
func (s *Server) LoginRefused(w http.ResponseWriter, r *http.Request) {
	s.record(w, r, request{refused: true}, unauthorized("the token is not accepted"))
}

// Holder tells who has a pass, and false of one that has ended.
func (s *Server) Holder(p Pass) (Holder, bool) {
	who, ok := s.guard.holder(p)
	return Holder{Name: who.name, Role: who.role.String()}, ok
}

// May tells whether the API has a route, and the holder of a pass may call it.
func (s *Server) May(p Pass, path string) bool {
	who, ok := s.guard.holder(p)
	to, exists := s.paths[path]
	return ok && exists && who.role >= to.role && (who.payloads || !to.payloads)
}

// Call answers a request of the API as that of the holder of a pass.
func (s *Server) Call(w http.ResponseWriter, r *http.Request, p Pass) {
	s.serve(w, r.WithContext(context.WithValue(r.Context(), passKey{}, p)))
}

type passKey struct{}

func (g *guard) holder(p Pass) (caller, bool) {
	if g.tokens == nil {
		return everybody, p.open && !g.socket
	}
	for _, t := range g.tokens.get() {
		if !p.open && subtle.ConstantTimeCompare(p.sum[:], t.sum[:]) == 1 {
			return t.caller, true
		}
	}
	return caller{}, false
}

// Scrub hides the login in the URLs of a text, as the answers of the API do.
func Scrub(text string) string { return withoutUserInfo(text) }
