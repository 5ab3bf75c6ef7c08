package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// guard decides which requests reach a route.
type guard struct {
	tokens *watched[[]knownToken] // nil: none is asked for
	// hosts are the accepted Host headers, nil for any. On loopback, a web page could
	// otherwise reach the API from the browser of a user of this machine: its host name
	// may resolve to 127.0.0.1 after the page has loaded, and the browser then treats
	// the API as the page's own origin.
	hosts  []string
	origin *http.CrossOriginProtection

	socket     bool // it is a Unix socket, whose peers are known by their uid
	socketRole role // what they may do without a token

	workers Workers // nil without any
}

// loopbackHosts are the names of a loopback listener.
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

// admit returns who sends a request, or why the request must not reach a route. The
// caller is known even if the request is refused because of the role.
func (g *guard) admit(r *http.Request, to route) (caller, *failure) {
	if g.hosts != nil && !contains(g.hosts, r.Host) {
		return caller{}, forbidden("Host %q is not answered: this API serves its own machine, use %s", r.Host, g.hosts[0])
	}
	// Browsers send a POST with a text/plain body to any site without asking, and
	// robust-ctl's requests have the same content type. But a browser says where a
	// request comes from, and other clients do not.
	if err := g.origin.Check(r); err != nil {
		return caller{}, forbidden("requests from web pages of another origin are not answered")
	}
	who, f := g.identify(r)
	switch {
	case to.role == anyone:
		return who, nil
	case f != nil:
		return who, f
	case who.role < to.role:
		return who, forbidden("%s needs the role %s, and %q has the role %s", r.URL.Path, to.role.orMore(), who.name, who.role)
	case to.payloads && !who.payloads:
		return who, forbidden("%s shows messages, and %q may not see them: that needs payloads: true in the file of --api-tokens-file", r.URL.Path, who.name)
	}
	return who, nil
}

// identify returns who sends a request, or the failure of a sender without a role.
func (g *guard) identify(r *http.Request) (caller, *failure) {
	if pass, ok := r.Context().Value(passKey{}).(Pass); ok {
		if who, ok := g.holder(pass); ok {
			return who, nil
		}
		return caller{}, unauthorized("the token of this session is not accepted any more: log in again")
	}
	if who, is, f := g.forwardedCaller(r); is {
		return who, f
	}
	switch {
	case g.socket && (g.tokens == nil || r.Header.Get("Authorization") == ""):
		return g.identifyPeer(r)
	case g.tokens == nil:
		return everybody, nil
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	text = strings.TrimSpace(text)
	found, ok := findToken(g.tokens.get(), text)
	switch {
	case !ok || !strings.EqualFold(scheme, "Bearer"):
		return caller{}, unauthorized("this needs the header Authorization: Bearer TOKEN with a token of --api-token-file or --api-tokens-file")
	case !found.chosen && len(text) < leastToken:
		return caller{}, unauthorized("the token %q is shorter than %d characters, and could be guessed from its hash: make one by robustmq-connect token", found.name, leastToken)
	}
	return found.caller, nil
}

func forbidden(format string, args ...any) *failure {
	return &failure{status: http.StatusForbidden, text: fmt.Sprintf(format, args...)}
}

func unauthorized(format string, args ...any) *failure {
	return &failure{status: http.StatusUnauthorized, text: fmt.Sprintf(format, args...)}
}

type callerKey struct{}

func withCaller(r *http.Request, who caller) *http.Request {
	ctx := connector.WithActor(r.Context(), who.name)
	return r.WithContext(context.WithValue(ctx, callerKey{}, who))
}

// callerOf returns who sent the request of a context.
func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

func contains(hosts []string, host string) bool {
	for _, h := range hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

// portOf returns the port of an address, as text.
func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return port
}
