package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// guard decides who gets through to a route.
type guard struct {
	token *[sha256.Size]byte // nil: none is asked for
	// hosts are the Host headers that are answered, nil for any. On loopback a web
	// page could otherwise reach the API from the browser of someone who works on
	// this machine: its own host name may be made to resolve to 127.0.0.1 after the
	// page has loaded, and then the browser takes the API for the page's own origin.
	hosts  []string
	origin *http.CrossOriginProtection
}

// loopbackHosts are the names under which a loopback listener is reached.
func loopbackHosts(listen string, port string, secure bool) []string {
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	if strings.Contains(listen, ":") {
		listen = "[" + listen + "]"
	}
	names = append(names, strings.ToLower(listen))
	var hosts []string
	for _, name := range names {
		hosts = append(hosts, name+":"+port)
		if (secure && port == "443") || (!secure && port == "80") {
			hosts = append(hosts, name) // clients leave the scheme's own port out
		}
	}
	return hosts
}

// refuse gives the failure of a request that must not get through to a route that
// the least role may call.
func (g *guard) refuse(r *http.Request, least role) *failure {
	if g.hosts != nil && !contains(g.hosts, r.Host) {
		return &failure{status: http.StatusForbidden, text: fmt.Sprintf(
			"Host %q is not answered: this API serves its own machine, use %s", r.Host, g.hosts[0])}
	}
	// Browsers send a POST with a text/plain body to any site without asking, and
	// robust-ctl's are not told from it by the content type. But a browser says
	// where a request comes from, and nothing else does.
	if err := g.origin.Check(r); err != nil {
		return &failure{status: http.StatusForbidden, text: "requests from web pages of another origin are not answered"}
	}
	if least == anyone || g.trusts(r) {
		return nil
	}
	return &failure{status: http.StatusUnauthorized, text: "this needs the header Authorization: Bearer TOKEN with the token of --api-token-file"}
}

// trusts tells whether whoever sends a request may know everything.
func (g *guard) trusts(r *http.Request) bool { return g.token == nil || g.authorised(r) }

func (g *guard) authorised(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

func contains(hosts []string, host string) bool {
	for _, h := range hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

// portOf is the port of an address, as text.
func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return port
}
